// JSON out, appended to a string by hand: replies are many and small, and their shape is fixed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace reprise {

// `text` quoted and escaped. It must be UTF-8.
void AppendJsonString(std::string_view text, std::string* out);
// The inside of the quotes only.
void AppendJsonEscaped(std::string_view text, std::string* out);
void AppendJsonNumber(std::int64_t value, std::string* out);
// Shortest digits that read back the same; null when not finite, which JSON cannot say.
void AppendJsonNumber(double value, std::string* out);
void AppendJsonNumber(float value, std::string* out);

inline void AppendJsonNumber(int value, std::string* out) {
  AppendJsonNumber(std::int64_t{value}, out);
}

}  // namespace reprise
