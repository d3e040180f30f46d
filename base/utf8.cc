#include "base/utf8.h"

#include <algorithm>

namespace reprise {
namespace {

struct Sequence {
  std::size_t length = 0;   // bytes consumed: the whole character, or the maximal malformed part
  char32_t code_point = 0;  // valid only when ok
  bool ok = false;
  bool truncated = false;  // the text ended inside a so far well-formed character
};

// Table 3-7 of the Unicode Standard, as ranges of the second byte.
Sequence Next(std::string_view text, std::size_t offset) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[offset + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {1, lead, true, false};
  std::size_t length = 0;
  unsigned char low = 0x80, high = 0xBF;
  char32_t value = 0;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
    value = lead & 0x1F;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    value = lead & 0x0F;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    value = lead & 0x07;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {1, 0, false, false};
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (offset + i >= text.size()) return {i, 0, false, true};
    if (byte(i) < low || byte(i) > high) return {i, 0, false, false};
    value = (value << 6) | (byte(i) & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  return {length, value, true, false};
}

}  // namespace

std::size_t FindInvalidUtf8(std::string_view text) {
  for (std::size_t offset = 0; offset < text.size();) {
    const Sequence next = Next(text, offset);
    if (!next.ok) return offset;
    offset += next.length;
  }
  return std::string_view::npos;
}

char32_t DecodeUtf8(std::string_view text, std::size_t* offset) {
  const Sequence next = Next(text, *offset);
  *offset += next.ok ? next.length : 1;
  return next.ok ? next.code_point : kReplacementCharacter;
}

void AppendUtf8(char32_t code_point, std::string* out) {
  const auto put = [&](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

std::size_t IncompleteUtf8Suffix(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;  // continuation: look further back for the lead
    const Sequence next = Next(text, text.size() - back);
    return next.truncated ? back : 0;
  }
  return 0;
}

std::string SanitizeUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t offset = 0; offset < text.size();) {
    const Sequence next = Next(text, offset);
    if (next.ok) {
      out.append(text.substr(offset, next.length));
    } else {
      AppendUtf8(kReplacementCharacter, &out);
    }
    offset += next.length;
  }
  return out;
}

}  // namespace reprise
