// Every kind of tokenizer.json against the library that defines it.
#include <catch2/catch.hpp>

#include "tests/shared_data.h"
#include "tests/unit/models/tokenizer/golden_data.h"

namespace reprise {
namespace {

using nlohmann::json;
using Ids = std::vector<TokenId>;

constexpr EncodeOptions kWithSpecial{.add_special_tokens = true, .parse_special_tokens = true};
constexpr EncodeOptions kPlain{.add_special_tokens = false, .parse_special_tokens = true};
constexpr EncodeOptions kLiteral{.add_special_tokens = false, .parse_special_tokens = false};

Ids Encode(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options) {
  auto ids = tokenizer.Encode(text, options);
  INFO(ids.status().ToString());
  REQUIRE(ids.ok());
  return *ids;
}

// A row leaves out what equals the field before it (or the text).
void CheckRow(const Tokenizer& tokenizer, const std::string& text, const json& row) {
  INFO("text: " << json(text).dump());
  const Ids ids = row["ids"];
  const Ids plain = row.value("plain", ids);
  const std::string decoded = row.value("decoded", text);
  CHECK(Encode(tokenizer, text, kWithSpecial) == ids);
  CHECK(Encode(tokenizer, text, kPlain) == plain);
  CHECK(Encode(tokenizer, text, kLiteral) == row.value("literal", plain));
  CHECK(*tokenizer.Decode(ids, /*skip_special_tokens=*/true) == decoded);
  CHECK(*tokenizer.Decode(ids, /*skip_special_tokens=*/false) == row.value("decoded_all", decoded));
}

void CheckAll(const Tokenizer& tokenizer, const std::string& expected) {
  const std::vector<std::string> texts = GoldenTexts();
  const std::vector<json> rows = ReadJsonLines(expected);
  REQUIRE(rows.size() == texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) CheckRow(tokenizer, texts[i], rows[i]);
}

// The first turns of some prompts of the shared set.
std::vector<std::string> PromptTexts() {
  const std::vector<json> prompts = ReadJsonLines(SharedPath("data/prompts/dev.jsonl"));
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < prompts.size(); i += 40) {
    std::string text;
    for (const json& turn : prompts[i]["turns"]) text += (text.empty() ? "" : "\n") + turn.get<std::string>();
    texts.push_back(text);
  }
  return texts;
}

bool SkipsWithout(const std::string& shared) {
  if (HasShared(shared)) return false;
  WARN("skipped: " << SharedPath(shared) << " is not there");
  return true;
}

TEST_CASE("small tokenizers of every family agree with the original") {
  for (const std::string& name : FamilyNames()) {
    INFO("tokenizer: " << name);
    CheckAll(*LoadTokenizer(kTokenizerData + name), kTokenizerData + name + "/expected.jsonl");
  }
}

TEST_CASE("published tokenizer.json files agree with the original") {
  if (SkipsWithout("data/tokenizers")) return;
  for (const std::string name : {"gpt2", "llama2", "phi-3-mini"}) {
    INFO("tokenizer: " << name);
    CheckAll(*LoadTokenizer(SharedPath("data/tokenizers/" + name)),
             kTokenizerData + "published/" + name + ".jsonl");
  }
}

TEST_CASE("the GGUF copies of two published tokenizers agree with the original") {
  if (!SkipsWithout("models/SmolLM2-135M-Instruct.Q4_1.gguf")) {
    CheckAll(*LoadTokenizer(SharedPath("models/SmolLM2-135M-Instruct.Q4_1.gguf")),
             kTokenizerData + "published/smollm2.jsonl");
  }
  if (!SkipsWithout("data/ggml-vocab")) {
    CheckAll(*LoadTokenizer(SharedPath("data/ggml-vocab/ggml-vocab-gpt-2.gguf")),
             kTokenizerData + "published/gpt2.jsonl");
  }
}

TEST_CASE("long prompts agree with the original") {
  if (SkipsWithout("data/prompts/dev.jsonl") || SkipsWithout("data/tokenizers")) return;
  const std::vector<std::string> texts = PromptTexts();
  for (const std::string name : {"gpt2", "llama2", "phi-3-mini"}) {
    const auto tokenizer = LoadTokenizer(SharedPath("data/tokenizers/" + name));
    const std::vector<json> rows = ReadJsonLines(kTokenizerData + "published/" + name + ".prompts.jsonl");
    REQUIRE(rows.size() == texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      INFO(name << ", prompt " << i);
      CHECK(Encode(*tokenizer, texts[i], kWithSpecial) == rows[i]["ids"].get<Ids>());
    }
  }
}

TEST_CASE("a text that is not UTF-8 is refused with the place") {
  const auto tokenizer = LoadTokenizer(kTokenizerData + "llama3");
  const auto ids = tokenizer->Encode("ab\xC3(");
  REQUIRE(ids.status().code() == StatusCode::kInvalidArgument);
  CHECK(ids.status().message().find("byte 2") != std::string::npos);
}

TEST_CASE("tokens can be looked up") {
  const auto tokenizer = LoadTokenizer(kTokenizerData + "llama3");
  const auto bos = tokenizer->FindToken("<|begin_of_text|>");
  REQUIRE(bos.has_value());
  CHECK(tokenizer->TokenText(*bos) == "<|begin_of_text|>");
  CHECK(tokenizer->IsSpecial(*bos));
  CHECK(tokenizer->adds_bos());
  CHECK(tokenizer->bos() == bos);
  const auto space = tokenizer->FindToken("Ġ");
  REQUIRE(space.has_value());
  CHECK(tokenizer->TokenBytes(*space) == " ");
  CHECK_FALSE(tokenizer->IsSpecial(*space));
  CHECK_FALSE(tokenizer->FindToken("no such token").has_value());
}

}  // namespace
}  // namespace reprise
