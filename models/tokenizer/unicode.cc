#include "models/tokenizer/unicode.h"

#include <oniguruma.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/check.h"
#include "base/utf8.h"

namespace reprise::tokenizer {
namespace {

constexpr char32_t kZeroWidthNonJoiner = 0x200C;
constexpr char32_t kZeroWidthJoiner = 0x200D;
constexpr char32_t kCapitalIWithDotAbove = 0x0130;

bool IsCompatibility(NormalForm form) {
  return form == NormalForm::kNfkc || form == NormalForm::kNfkd;
}

bool IsComposed(NormalForm form) {
  return form == NormalForm::kNfc || form == NormalForm::kNfkc;
}

// Nothing below U+0300 changes under NFC, and nothing in ASCII under any form (UAX #15, section 9).
bool IsTriviallyNormal(std::string_view text, NormalForm form) {
  const unsigned char first_lead = form == NormalForm::kNfc ? 0xCC : 0x80;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return static_cast<unsigned char>(c) < first_lead; });
}

std::vector<utf8proc_int32_t> Decompose(std::string_view text, NormalForm form) {
  const auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | (IsCompatibility(form) ? UTF8PROC_COMPAT : 0));
  std::vector<utf8proc_int32_t> out;
  out.reserve(text.size());
  std::array<utf8proc_int32_t, 32> parts;  // the longest decomposition has 18 code points
  for (std::size_t offset = 0; offset < text.size();) {
    const auto code_point = static_cast<utf8proc_int32_t>(DecodeUtf8(text, &offset));
    int boundary_class = 0;
    const auto count =
        utf8proc_decompose_char(code_point, parts.data(), parts.size(), options, &boundary_class);
    REPRISE_CHECK(count >= 0 && static_cast<std::size_t>(count) <= parts.size());
    out.insert(out.end(), parts.begin(), parts.begin() + count);
  }
  return out;
}

// The canonical ordering algorithm. utf8proc's own is an insertion sort, quadratic on a long run of marks.
void OrderCombiningMarks(std::vector<utf8proc_int32_t>* code_points) {
  const auto combining_class = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
  auto it = code_points->begin();
  while (it != code_points->end()) {
    it = std::find_if(it, code_points->end(), [&](auto c) { return combining_class(c) != 0; });
    const auto end = std::find_if(it, code_points->end(), [&](auto c) { return combining_class(c) == 0; });
    std::stable_sort(it, end, [&](auto a, auto b) { return combining_class(a) < combining_class(b); });
    it = end;
  }
}

}  // namespace

std::string Normalize(std::string_view text, NormalForm form) {
  if (IsTriviallyNormal(text, form)) return std::string(text);
  std::vector<utf8proc_int32_t> code_points = Decompose(text, form);
  OrderCombiningMarks(&code_points);
  if (IsComposed(form)) {
    const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    const auto count = utf8proc_normalize_utf32(code_points.data(),
                                                static_cast<utf8proc_ssize_t>(code_points.size()), options);
    REPRISE_CHECK(count >= 0);
    code_points.resize(static_cast<std::size_t>(count));
  }
  std::string out;
  out.reserve(text.size());
  for (utf8proc_int32_t c : code_points) AppendUtf8(static_cast<char32_t>(c), &out);
  return out;
}

std::string Lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t offset = 0; offset < text.size();) {
    const char32_t code_point = DecodeUtf8(text, &offset);
    if (code_point == kCapitalIWithDotAbove) {
      out += "i\u0307";  // the only character whose lower case is two
    } else {
      AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point))), &out);
    }
  }
  return out;
}

bool IsMark(char32_t code_point) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code_point));
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
         category == UTF8PROC_CATEGORY_ME;
}

bool IsWhiteSpace(char32_t code_point) {
  return ONIGENC_IS_CODE_SPACE(ONIG_ENCODING_UTF8, static_cast<OnigCodePoint>(code_point));
}

bool IsWordCharacter(char32_t code_point) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code_point));
  // Oniguruma's own "word" counts all of category N.
  return ONIGENC_IS_CODE_ALPHA(ONIG_ENCODING_UTF8, static_cast<OnigCodePoint>(code_point)) ||
         IsMark(code_point) || category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_PC ||
         code_point == kZeroWidthNonJoiner || code_point == kZeroWidthJoiner;
}

char32_t LastCodePoint(std::string_view text, std::size_t* length) {
  std::size_t begin = text.size() - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  *length = text.size() - begin;
  return DecodeUtf8(text, &begin);
}

}  // namespace reprise::tokenizer
