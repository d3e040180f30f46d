#include "models/tokenizer/unicode.h"

#include <catch2/catch.hpp>

namespace reprise::tokenizer {
namespace {

TEST_CASE("the four normal forms") {
  const std::string text = "e\u0301 \u212b \ufb01 \uac01";
  CHECK(Normalize(text, NormalForm::kNfc) == "\u00e9 \u00c5 \ufb01 \uac01");
  CHECK(Normalize(text, NormalForm::kNfd) == "e\u0301 A\u030a \ufb01 \u1100\u1161\u11a8");
  CHECK(Normalize(text, NormalForm::kNfkc) == "\u00e9 \u00c5 fi \uac01");
  CHECK(Normalize(text, NormalForm::kNfkd) == "e\u0301 A\u030a fi \u1100\u1161\u11a8");
}

TEST_CASE("combining marks are ordered, and those that compose do") {
  CHECK(Normalize("q\u0307\u0323", NormalForm::kNfc) == "q\u0323\u0307");
  CHECK(Normalize("o\u0302\u0323", NormalForm::kNfc) == "\u1ed9");
  CHECK(Normalize("\u0915\u093c", NormalForm::kNfc) == "\u0915\u093c");  // excluded from composition
}

TEST_CASE("a very long run of marks takes no quadratic time") {
  std::string text = "e";
  for (int i = 0; i < 200'000; ++i) text += "\u0301\u0323";
  const std::string normal = Normalize(text, NormalForm::kNfc);
  CHECK(normal.starts_with("\u1eb9"));  // e with dot below: the lower class comes first
  CHECK(Normalize(normal, NormalForm::kNfc) == normal);
}

TEST_CASE("lower case, also where it is two characters") {
  CHECK(Lowercase("ÀΣ İI") == "àσ i\u0307i");
}

TEST_CASE("white space and word characters") {
  for (const char32_t c : {U' ', U'\t', U'\u0085', U'\u00a0', U'\u2028', U'\u3000'}) CHECK(IsWhiteSpace(c));
  for (const char32_t c : {U'a', U'\u200b', U'\u180e', U'\ufeff'}) CHECK_FALSE(IsWhiteSpace(c));
  for (const char32_t c : {U'a', U'_', U'9', U'é', U'漢', U'\u0301', U'\u200d'}) CHECK(IsWordCharacter(c));
  for (const char32_t c : {U'-', U' ', U'😀', U'²'}) CHECK_FALSE(IsWordCharacter(c));
}

}  // namespace
}  // namespace reprise::tokenizer
