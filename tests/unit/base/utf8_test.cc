#include "base/utf8.h"

#include <catch2/catch.hpp>

namespace reprise {
namespace {

TEST_CASE("Malformed UTF-8 is found where it begins", "[base]") {
  CHECK(FindInvalidUtf8("plain é 漢 😀") == std::string_view::npos);
  CHECK(FindInvalidUtf8("ab\xff") == 2);
  CHECK(FindInvalidUtf8("\xc0\x80") == 0);          // overlong
  CHECK(FindInvalidUtf8("\xe0\x80\x80") == 0);      // overlong
  CHECK(FindInvalidUtf8("a\xed\xa0\x80") == 1);     // surrogate
  CHECK(FindInvalidUtf8("\xf4\x90\x80\x80") == 0);  // above U+10FFFF
  CHECK(FindInvalidUtf8("\xf0\x9f\x98") == 0);      // cut short
  CHECK(FindInvalidUtf8("x\x80") == 1);             // stray continuation
}

TEST_CASE("Every scalar value survives encoding and decoding", "[base]") {
  for (char32_t c = 0; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 97) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(c, &text);
    std::size_t offset = 0;
    if (DecodeUtf8(text, &offset) != c || offset != text.size() ||
        FindInvalidUtf8(text) != std::string_view::npos) {
      FAIL("code point " << static_cast<std::uint32_t>(c));
    }
  }
}

TEST_CASE("Incomplete suffixes are held back, impossible ones are not", "[base]") {
  CHECK(IncompleteUtf8Suffix("abc") == 0);
  CHECK(IncompleteUtf8Suffix("a\xf0") == 1);
  CHECK(IncompleteUtf8Suffix("a\xf0\x9f") == 2);
  CHECK(IncompleteUtf8Suffix("a\xf0\x9f\x98") == 3);
  CHECK(IncompleteUtf8Suffix("a\xf0\x9f\x98\x80") == 0);
  CHECK(IncompleteUtf8Suffix("\xc3") == 1);
  CHECK(IncompleteUtf8Suffix("\xff") == 0);
  CHECK(IncompleteUtf8Suffix("\x80\x80\x80\x80") == 0);
  CHECK(IncompleteUtf8Suffix("\xed\xa0") == 0);  // can only become a surrogate
}

TEST_CASE("Malformed parts become one replacement character each", "[base]") {
  CHECK(SanitizeUtf8("ok") == "ok");
  CHECK(SanitizeUtf8("a\xff"
                     "b") == "a\uFFFDb");
  CHECK(SanitizeUtf8("\xf0\x9f\x98") == "\uFFFD");  // a maximal part
  CHECK(SanitizeUtf8("\xf0\x9f\x41") == "\uFFFD\x41");
  CHECK(SanitizeUtf8("\xc0\x80") == "\uFFFD\uFFFD");
}

}  // namespace
}  // namespace reprise
