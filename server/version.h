// What /version, /metrics and ServerInfo call this build: the project's version, from CMakeLists.txt.
#pragma once

namespace reprise {

inline constexpr const char* kServerVersion = REPRISE_VERSION;

}  // namespace reprise
