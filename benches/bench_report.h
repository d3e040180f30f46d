// What every benchmark row carries about where it was measured.
#pragma once

#include <string>

namespace reprise::bench {

// "cpu":"...","cores":N,"commit":"..." : fields to end a JSON row with.
const std::string& MachineJson();

}  // namespace reprise::bench
