// Strict JSON in: one document, UTF-8, no duplicate keys, bounded depth, numbers that are finite.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "base/status.h"

namespace reprise {

using Json = nlohmann::json;

inline constexpr int kMaxJsonDepth = 64;

// INVALID_ARGUMENT says what is wrong and at which line and column.
Result<Json> ParseJson(std::string_view text);

// What a person calls the type of `value`: "a number", "an object", ...
std::string_view JsonTypeName(const Json& value);

}  // namespace reprise
