// Files with one JSON object a line.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/status.h"

namespace reprise {

// Calls `read` with each line's object, in order; empty lines are skipped. DATA_LOSS with file and line for
// what is no object and for whatever `read` refuses; NOT_FOUND when there is no such file.
Status ForEachJsonLine(const std::string& path, const std::function<Status(const nlohmann::json&)>& read);

}  // namespace reprise
