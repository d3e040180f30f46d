// JSON out of model files: read whole, with errors that name the file and the place.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/status.h"

namespace reprise {

// DATA_LOSS with line and column for a syntax error; for a key that one object has twice; for nesting
// beyond 64.
Result<nlohmann::json> ParseJsonText(std::string_view text);

// As ParseJsonText, the path put before the message; NOT_FOUND when there is no such file. The value is an
// object.
Result<nlohmann::json> ReadJsonObject(const std::string& path);

}  // namespace reprise
