// Streaming text out of ids, and properties that hold for any text.
#include <random>

#include <catch2/catch.hpp>

#include "base/utf8.h"
#include "models/tokenizer/metaspace.h"
#include "tests/unit/models/tokenizer/golden_data.h"

namespace reprise {
namespace {

std::string Stream(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, bool skip_special) {
  Detokenizer detokenizer(tokenizer, skip_special);
  std::string text;
  for (const TokenId id : ids) {
    const std::string piece = detokenizer.Append(id);
    REQUIRE(FindInvalidUtf8(piece) == std::string::npos);  // whole characters only
    text += piece;
  }
  return text + detokenizer.Finish();
}

// Any code points but surrogates, short ones more often.
std::string RandomText(std::mt19937* random) {
  std::string text;
  const std::size_t length = (*random)() % 40;
  for (std::size_t i = 0; i < length; ++i) {
    static constexpr char32_t kLimits[] = {0x80, 0x80, 0x250, 0x3000, 0x10000, 0x110000};
    char32_t c = (*random)() % kLimits[(*random)() % std::size(kLimits)];
    if (c >= 0xD800 && c < 0xE000) c = ' ';
    AppendUtf8(c, &text);
  }
  return text;
}

TEST_CASE("byte-level tokenizers give any text back") {
  std::mt19937 random(1);
  for (const std::string name : {"llama3", "smollm2", "tekken", "deepseek3"}) {
    const auto tokenizer = LoadTokenizer(kTokenizerData + name);
    for (int i = 0; i < 500; ++i) {
      const std::string text = RandomText(&random);
      INFO(name << ": " << nlohmann::json(text).dump());
      const auto ids = tokenizer->Encode(text, {.add_special_tokens = false});
      REQUIRE(ids.ok());
      CHECK(*tokenizer->Decode(*ids, /*skip_special_tokens=*/false) == text);
    }
  }
}

TEST_CASE("byte fallback gives any text back") {
  std::mt19937 random(2);
  for (const std::string name : {"llama2", "phi3"}) {
    const auto tokenizer = LoadTokenizer(kTokenizerData + name);
    for (int i = 0; i < 500; ++i) {
      std::string text = RandomText(&random);
      if (text.find(tokenizer::kMetaspace) != std::string::npos) continue;  // reads as a space
      INFO(name << ": " << nlohmann::json(text).dump());
      const auto ids = tokenizer->Encode(text, {.add_special_tokens = false, .parse_special_tokens = false});
      REQUIRE(ids.ok());
      CHECK(*tokenizer->Decode(*ids) == text);
    }
  }
}

TEST_CASE("streamed text equals decoded text, whatever the ids") {
  std::mt19937 random(3);
  for (const std::string& name : FamilyNames()) {
    const auto tokenizer = LoadTokenizer(kTokenizerData + name);
    for (int i = 0; i < 200; ++i) {
      std::vector<TokenId> ids(random() % 30);
      for (TokenId& id : ids)
        id = static_cast<TokenId>(random() % static_cast<unsigned>(tokenizer->vocab_size()));
      const bool skip_special = random() % 2 == 0;
      INFO(name);
      CHECK(Stream(*tokenizer, ids, skip_special) == *tokenizer->Decode(ids, skip_special));
    }
  }
}

TEST_CASE("a character made of several tokens appears with its last one") {
  const auto tokenizer = LoadTokenizer(kTokenizerData + "llama2");
  Detokenizer detokenizer(*tokenizer, /*skip_special_tokens=*/true);
  const auto id = [&](const char* text) { return *tokenizer->FindToken(text); };
  CHECK(detokenizer.Append(id("<0xF0>")).empty());
  CHECK(detokenizer.Append(id("<0x9F>")).empty());
  CHECK(detokenizer.Append(id("<0xA6>")).empty());
  CHECK(detokenizer.Append(id("<0x99>")) == "🦙");
  CHECK(detokenizer.Append(id("<0xE2>")).empty());
  CHECK(detokenizer.Append(id("a")) == "\uFFFDa");  // the character never came
  CHECK(detokenizer.Append(id("<0xC3>")).empty());
  CHECK(detokenizer.Finish() == "\uFFFD");
}

TEST_CASE("one leading space belongs to SentencePiece, the others to the text") {
  const auto tokenizer = LoadTokenizer(kTokenizerData + "llama2");
  const TokenId space = *tokenizer->FindToken("▁");
  const TokenId a = *tokenizer->FindToken("a");
  const TokenId bos = *tokenizer->FindToken("<s>");
  CHECK(*tokenizer->Decode(std::vector<TokenId>{space, a}) == "a");
  CHECK(*tokenizer->Decode(std::vector<TokenId>{space, space, a}) == " a");
  CHECK(*tokenizer->Decode(std::vector<TokenId>{bos, space, a}) == "a");
  CHECK(*tokenizer->Decode(std::vector<TokenId>{a, space, a}) == "a a");
  CHECK(*tokenizer->Decode(std::vector<TokenId>{bos, space, a}, /*skip_special_tokens=*/false) == "<s> a");
}

TEST_CASE("an id outside the vocabulary is refused") {
  const auto tokenizer = LoadTokenizer(kTokenizerData + "llama3");
  for (const TokenId id : {-1, tokenizer->vocab_size()}) {
    const auto text = tokenizer->Decode(std::vector<TokenId>{id});
    REQUIRE(text.status().code() == StatusCode::kInvalidArgument);
    CHECK(text.status().message().find(std::to_string(id)) != std::string::npos);
  }
}

}  // namespace
}  // namespace reprise
