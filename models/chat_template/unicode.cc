#include "models/chat_template/unicode.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/utf8.h"

namespace reprise::chat_template {
namespace {

struct CodePointRange {
  char32_t first, last;
};
// Every `stride`-th character from first to last maps to itself plus delta.
struct CaseRange {
  char32_t first, last;
  std::uint32_t stride;
  std::int32_t delta;
};
struct CaseExpansion {
  char32_t from;
  char32_t to[3];
};

#include "models/chat_template/unicode_tables.inc"

bool Contains(std::span<const CodePointRange> ranges, char32_t c) {
  auto range = std::lower_bound(ranges.begin(), ranges.end(), c,
                                [](const CodePointRange& r, char32_t value) { return r.last < value; });
  return range != ranges.end() && range->first <= c;
}

// Ranges of different strides may interleave, so that a few neighbours are looked at.
const CaseRange* Find(std::span<const CaseRange> ranges, char32_t c) {
  auto range = std::upper_bound(ranges.begin(), ranges.end(), c,
                                [](char32_t value, const CaseRange& r) { return value < r.first; });
  for (int back = 0; back < 4 && range != ranges.begin(); ++back) {
    --range;
    if (c <= range->last && (c - range->first) % range->stride == 0) return &*range;
  }
  return nullptr;
}

// False when the tables leave `c` as it is.
bool AppendMapped(std::span<const CaseRange> ranges, std::span<const CaseExpansion> expansions, char32_t c,
                  std::string* out) {
  if (const CaseRange* range = Find(ranges, c)) {
    AppendUtf8(static_cast<char32_t>(static_cast<std::int32_t>(c) + range->delta), out);
    return true;
  }
  auto expansion = std::find_if(expansions.begin(), expansions.end(),
                                [c](const CaseExpansion& candidate) { return candidate.from == c; });
  if (expansion == expansions.end()) return false;
  for (char32_t target : expansion->to) {
    if (target != 0) AppendUtf8(target, out);
  }
  return true;
}

bool Changes(std::span<const CaseRange> ranges, std::span<const CaseExpansion> expansions, char32_t c) {
  std::string ignored;
  return AppendMapped(ranges, expansions, c, &ignored);
}

}  // namespace

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

bool IsAlphabetic(char32_t c) {
  return Contains(kAlphabetic, c);
}
bool IsDigit(char32_t c) {
  return Contains(kDigits, c);
}
bool IsNumeric(char32_t c) {
  return Contains(kNumeric, c);
}
bool IsPrintable(char32_t c) {
  return !Contains(kNotPrintable, c);
}
bool IsUpper(char32_t c) {
  return Changes(kLower, kLowerExpansions, c);
}
bool IsLower(char32_t c) {
  return !IsUpper(c) && Changes(kUpper, kUpperExpansions, c);
}

void AppendUpper(char32_t c, std::string* out) {
  if (!AppendMapped(kUpper, kUpperExpansions, c, out)) AppendUtf8(c, out);
}
void AppendLower(char32_t c, std::string* out) {
  if (!AppendMapped(kLower, kLowerExpansions, c, out)) AppendUtf8(c, out);
}
void AppendTitle(char32_t c, std::string* out) {
  if (!AppendMapped(kTitle, kTitleExpansions, c, out)) AppendUpper(c, out);
}

}  // namespace reprise::chat_template
