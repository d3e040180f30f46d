// Python's str on UTF-8, with malformed input too.
#include <string>
#include <string_view>

#include <catch2/catch.hpp>

#include "models/chat_template/formatting.h"
#include "models/chat_template/text.h"

namespace reprise::chat_template {
namespace {

TEST_CASE("Characters are counted, not bytes") {
  CHECK(CountCharacters("aé日😀") == 4);
  const CharacterIndex index("aé日😀");
  REQUIRE(index.size() == 4);
  CHECK(index.At(2) == "日");
  CHECK(index.At(3) == "😀");
}

TEST_CASE("Malformed bytes count as characters of their own") {
  const std::string_view text =
      "\xF0\x9F"
      "a\x80";
  CHECK(CountCharacters(text) == 4);
  CHECK(StripSpace(text, Side::kBoth) == text);
  CHECK(ToUpper("\xC3") == "\xEF\xBF\xBD");
}

TEST_CASE("White space is Unicode's") {
  CHECK(StripSpace("\u3000\u00a0 x\u2003\x1c", Side::kBoth) == "x");
  CHECK(StripSpace(" x ", Side::kLeft) == "x ");
  CHECK(StripCharacters("日xx日", "日", Side::kRight) == "日xx");
}

TEST_CASE("Case mappings may change the length") {
  CHECK(ToUpper("straße ﬁ") == "STRASSE FI");
  CHECK(ToLower("ΟΔΟΣ ΣΑΣ") == "οδος σας");
  CHECK(Capitalize("ǆÉ გ") == "ǅé გ");
  CHECK(ToTitle("o'neil ÉCOLE") == "O'Neil École");
}

TEST_CASE("Searches agree with the naive search") {
  const std::string text = "abababababababababacabababababababababababac";
  for (std::size_t begin = 0; begin < text.size(); ++begin) {
    for (std::size_t size = 1; begin + size <= text.size(); ++size) {
      const std::string part = text.substr(begin, size);
      REQUIRE(FindFirst(text, part) == text.find(part));
      REQUIRE(FindLast(text, part) == text.rfind(part));
      REQUIRE(FindFirst(text, part + "x") == std::string::npos);
      REQUIRE(FindLast(text, "x" + part) == std::string::npos);
    }
  }
}

TEST_CASE("Floats print as Python prints them") {
  CHECK(FormatFloat(1e15) == "1000000000000000.0");
  CHECK(FormatFloat(1e16) == "1e+16");
  CHECK(FormatFloat(0.0001) == "0.0001");
  CHECK(FormatFloat(-0.00001) == "-1e-05");
  CHECK(FormatFloat(1.7976931348623157e308) == "1.7976931348623157e+308");
  CHECK(FormatFloat(123.456) == "123.456");
}

}  // namespace
}  // namespace reprise::chat_template
