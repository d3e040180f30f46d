#include "server/json_writer.h"

#include <charconv>
#include <cmath>

namespace reprise {
namespace {

template <typename T>
void AppendChars(T value, std::string* out) {
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), value);
  if (error == std::errc()) out->append(digits, end);
}

// What follows the backslash, 'u' for a numbered escape, 0 for a byte that stands for itself.
char EscapeOf(unsigned char c) {
  switch (c) {
    case '"':
    case '\\':
      return static_cast<char>(c);
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    default:
      return c < 0x20 || c == 0x7F ? 'u' : '\0';
  }
}

}  // namespace

void AppendJsonEscaped(std::string_view text, std::string* out) {
  constexpr char kHex[] = "0123456789abcdef";
  std::size_t plain = 0;  // start of the run that needs no escape
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const char escape = EscapeOf(c);
    if (escape == '\0') continue;
    out->append(text, plain, i - plain);
    plain = i + 1;
    out->push_back('\\');
    out->push_back(escape);
    if (escape == 'u') {
      out->append("00");
      out->push_back(kHex[c >> 4]);
      out->push_back(kHex[c & 15]);
    }
  }
  out->append(text, plain, text.size() - plain);
}

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  AppendJsonEscaped(text, out);
  out->push_back('"');
}

void AppendJsonNumber(std::int64_t value, std::string* out) {
  AppendChars(value, out);
}

void AppendJsonNumber(double value, std::string* out) {
  if (std::isfinite(value)) {
    AppendChars(value, out);
  } else {
    out->append("null");
  }
}

void AppendJsonNumber(float value, std::string* out) {
  if (std::isfinite(value)) {
    AppendChars(value, out);
  } else {
    out->append("null");
  }
}

}  // namespace reprise
