#include "models/tokenizer/added_tokens.h"

#include <catch2/catch.hpp>

namespace reprise::tokenizer {
namespace {

AddedTokens Make(std::vector<AddedToken> tokens) {
  NormalizerList normalizers;
  normalizers.push_back(MakeLowercase());
  auto added = AddedTokens::Create(std::move(tokens), normalizers);
  REQUIRE(added.ok());
  return std::move(*added);
}

// "a|<5:x>|b": text in between, and tokens with the text they took.
std::string Render(std::string_view text, const std::vector<TextSegment>& segments) {
  std::string out;
  for (const TextSegment& segment : segments) {
    if (!out.empty()) out += '|';
    const std::string part(segment.span.Of(text));
    out += segment.token ? "<" + std::to_string(*segment.token) + ":" + part + ">" : part;
  }
  return out;
}

TEST_CASE("the longest token at the leftmost position wins") {
  const AddedTokens added =
      Make({{.id = 1, .content = "ab"}, {.id = 2, .content = "abcd"}, {.id = 3, .content = "bc"}});
  CHECK(Render("xabcabcd", added.SplitRaw("xabcabcd", true)) == "x|<1:ab>|c|<2:abcd>");
  CHECK(added.SplitRaw("", true).empty());
}

TEST_CASE("a single word has no word character on either side") {
  const AddedTokens added = Make({{.id = 1, .content = "!x!", .single_word = true}});
  const auto split = [&](std::string_view text) { return Render(text, added.SplitRaw(text, true)); };
  CHECK(split("!x!") == "<1:!x!>");
  CHECK(split("é!x! -") == "é!x! -");
  CHECK(split("- !x!_") == "- !x!_");
  CHECK(split("(!x!)") == "(|<1:!x!>|)");
}

TEST_CASE("stripping takes white space along, up to the previous token") {
  const AddedTokens added =
      Make({{.id = 1, .content = "L", .lstrip = true}, {.id = 2, .content = "R", .rstrip = true}});
  const auto split = [&](std::string_view text) { return Render(text, added.SplitRaw(text, true)); };
  CHECK(split("a \n\u3000L b") == "a|<1: \n\u3000L>| b");
  CHECK(split("a R \u00a0b") == "a |<2:R \u00a0>|b");
  CHECK(split("R  L") == "<2:R  >|<1:L>");
}

TEST_CASE("special tokens in a text can stay text") {
  const AddedTokens added = Make({{.id = 1, .content = "<s>", .special = true}, {.id = 2, .content = "<t>"}});
  CHECK(Render("<s><t>", added.SplitRaw("<s><t>", false)) == "<s>|<2:<t>>");
}

TEST_CASE("normalized tokens are looked for in normalized text only, the special one of two equals first") {
  const AddedTokens added = Make({{.id = 1, .content = "Ab", .normalized = true},
                                  {.id = 2, .content = "aB", .normalized = true, .special = true}});
  CHECK(Render("Ab", added.SplitRaw("Ab", true)) == "Ab");
  CHECK(Render("xab", added.SplitNormalized("xab", true)) == "x|<2:ab>");
}

}  // namespace
}  // namespace reprise::tokenizer
