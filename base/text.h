// Small text helpers that error messages and parsers share.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace reprise {

// The candidate with the smallest edit distance to `word` (letters inserted, left out, replaced or exchanged
// with their neighbour), or empty when none is near (more than a third of it differs). For messages like:
// unknown field 'temprature'; did you mean 'temperature'?
std::string NearestName(std::string_view word, std::span<const std::string> candidates);

// "2GiB", "512MiB", "100MB", "4096" -> bytes.
Result<std::uint64_t> ParseBytes(std::string_view text);

// "30s", "500ms", "2m", "1.5" (seconds) -> seconds.
Result<double> ParseDuration(std::string_view text);

// 1536 MiB -> "1.5 GiB".
std::string FormatBytes(std::uint64_t bytes);

}  // namespace reprise
