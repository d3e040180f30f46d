// Names of threads, as ps, top, perf and debuggers show them.
#pragma once

namespace reprise {

// Names the calling thread. At most 15 characters are kept; threads it starts later inherit the name.
void SetThreadName(const char* name);

}  // namespace reprise
