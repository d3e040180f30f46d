// Vocabularies inside GGUF files: llama.cpp's own expectations, and small files made here.
#include <sstream>

#include <catch2/catch.hpp>

#include "models/tokenizer/gguf_pre_tokenizer.h"
#include "tests/shared_data.h"
#include "tests/unit/models/formats/gguf_builder.h"
#include "tests/unit/models/formats/temp_dir.h"
#include "tests/unit/models/tokenizer/golden_data.h"

namespace reprise {
namespace {

using Ids = std::vector<TokenId>;
using Texts = std::vector<std::string>;

enum TokenTypes : std::int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kByteToken = 6 };

std::string Strings(const Texts& texts) {
  std::string out;
  for (const std::string& text : texts) out += GgufString(text);
  return out;
}

template <typename T>
std::string Numbers(const std::vector<T>& numbers) {
  std::string out;
  for (const T number : numbers) out += Bytes(number);
  return out;
}

// A byte-level vocabulary: h e l o Ġ he, and two control tokens.
GgufBuilder BytePair() {
  const Texts tokens{"h", "e", "l", "o", "Ġ", "he", "<|im_start|>", "<|im_end|>"};
  return GgufBuilder()
      .Add("tokenizer.ggml.model", kString, GgufString("gpt2"))
      .Add("tokenizer.ggml.pre", kString, GgufString("smollm"))
      .AddArray("tokenizer.ggml.tokens", kString, tokens.size(), Strings(tokens))
      .AddArray("tokenizer.ggml.token_type", kI32, tokens.size(),
                Numbers<std::int32_t>({1, 1, 1, 1, 1, 1, kControl, kControl}))
      .AddArray("tokenizer.ggml.merges", kString, 1, Strings({"h e"}));
}

// A SentencePiece vocabulary.
GgufBuilder SentencePiece() {
  const Texts tokens{"<unk>", "<s>", "</s>", "<0xC3>", "<0xA9>", "▁", "a", "b", "▁a", "ab", "[TOOL]"};
  return GgufBuilder()
      .Add("tokenizer.ggml.model", kString, GgufString("llama"))
      .AddArray("tokenizer.ggml.tokens", kString, tokens.size(), Strings(tokens))
      .AddArray("tokenizer.ggml.token_type", kI32, tokens.size(),
                Numbers<std::int32_t>({kUnknown, kControl, kControl, kByteToken, kByteToken, kNormal, kNormal,
                                       kNormal, kNormal, kNormal, kUserDefined}))
      .AddArray("tokenizer.ggml.scores", kF32, tokens.size(),
                Numbers<float>({0, 0, 0, 0, 0, -3, -3, -3, -1, -2, 0}));
}

Result<std::unique_ptr<Tokenizer>> Load(const GgufBuilder& builder) {
  const TempDir dir;
  return Tokenizer::Load(dir.Write("vocabulary.gguf", builder.Build()));
}

std::unique_ptr<Tokenizer> LoadValid(const GgufBuilder& builder) {
  auto loaded = Load(builder);
  INFO(loaded.status().ToString());
  REQUIRE(loaded.ok());
  return std::move(*loaded);
}

Texts SplitLines(const std::string& text, const std::string& separator) {
  Texts parts;
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = text.find(separator, begin)) != std::string::npos;
       begin = end + separator.size()) {
    parts.push_back(text.substr(begin, end - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

TEST_CASE("llama.cpp's expectations for its vocabulary files") {
  for (const std::string name : {"gpt-2", "llama-spm", "phi-3"}) {
    const std::string path = "data/ggml-vocab/ggml-vocab-" + name + ".gguf";
    if (!HasShared(path)) {
      WARN("skipped: " << SharedPath(path) << " is not there");
      continue;
    }
    const auto tokenizer = LoadTokenizer(SharedPath(path));
    const Texts texts = SplitLines(ReadWholeFile(SharedPath(path + ".inp")), "\n__ggml_vocab_test__\n");
    const Texts lines = SplitLines(ReadWholeFile(SharedPath(path + ".out")), "\n");
    REQUIRE(texts.size() <= lines.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      std::istringstream numbers(lines[i]);
      Ids expected;
      for (TokenId id = 0; numbers >> id;) expected.push_back(id);
      INFO(name << ": " << nlohmann::json(texts[i]).dump());
      CHECK(*tokenizer->Encode(texts[i], {.add_special_tokens = false, .parse_special_tokens = false}) ==
            expected);
    }
  }
}

TEST_CASE("byte-level vocabulary") {
  const auto tokenizer =
      LoadValid(BytePair().Add("tokenizer.ggml.eos_token_id", kU32, Bytes<std::uint32_t>(7)));
  CHECK(*tokenizer->Encode("<|im_start|>hello") == Ids{6, 5, 2, 2, 3});
  CHECK(*tokenizer->Encode("<|im_end|>", {.parse_special_tokens = false}) ==
        Ids{1});  // only its "e" is a token
  CHECK(*tokenizer->Decode(Ids{6, 5, 2, 2, 3, 4, 5}) == "hello he");
  CHECK(*tokenizer->Decode(Ids{6, 5}, /*skip_special_tokens=*/false) == "<|im_start|>he");
  CHECK_FALSE(tokenizer->adds_bos());
  CHECK(Ids(tokenizer->eos().begin(), tokenizer->eos().end()) == Ids{7});
}

TEST_CASE("end of turn tokens end generation beside EOS") {
  const auto tokenizer = LoadValid(BytePair()
                                       .Add("tokenizer.ggml.eos_token_id", kU32, Bytes<std::uint32_t>(3))
                                       .Add("tokenizer.ggml.eot_token_id", kU32, Bytes<std::uint32_t>(2))
                                       .Add("tokenizer.ggml.eom_token_id", kU32, Bytes<std::uint32_t>(3)));
  CHECK(Ids(tokenizer->eos().begin(), tokenizer->eos().end()) == Ids{3, 2, 7});  // <|im_end|> by its name
}

TEST_CASE("flags and the pre-tokenizer decide about BOS and EOS") {
  GgufBuilder builder = BytePair();
  builder.Add("tokenizer.ggml.bos_token_id", kU32, Bytes<std::uint32_t>(6))
      .Add("tokenizer.ggml.eos_token_id", kU32, Bytes<std::uint32_t>(7))
      .Add("tokenizer.chat_template", kString, GgufString("{{ x }}"));
  CHECK(*LoadValid(builder)->Encode("h") == Ids{0});
  CHECK(LoadValid(builder)->chat_template() == "{{ x }}");
  builder.Add("tokenizer.ggml.add_bos_token", kBool, Bytes<std::uint8_t>(1))
      .Add("tokenizer.ggml.add_eos_token", kBool, Bytes<std::uint8_t>(1));
  CHECK(*LoadValid(builder)->Encode("h") == Ids{6, 0, 7});
  CHECK(LoadValid(builder)->adds_bos());
  CHECK(tokenizer::MakeGgufPreTokenizer("llama-bpe")->add_bos);
  CHECK_FALSE(tokenizer::MakeGgufPreTokenizer("qwen2")->add_bos);
}

TEST_CASE("SentencePiece vocabulary") {
  const auto tokenizer = LoadValid(SentencePiece());
  CHECK(tokenizer->bos() == 1);  // SentencePiece's defaults, as the file names none
  CHECK(*tokenizer->Encode("ab é") == Ids{1, 8, 7, 5, 3, 4});
  CHECK(*tokenizer->Encode("a[TOOL]b") == Ids{1, 8, 10, 5, 7});
  CHECK(*tokenizer->Encode("a</s>", {.add_special_tokens = false}) == Ids{8, 2});
  CHECK(*tokenizer->Decode(Ids{1, 8, 7, 5, 3, 4}) == "ab é");
  CHECK(*tokenizer->Decode(Ids{8, 10, 8}) == "a[TOOL] a");
  const auto unprefixed =
      LoadValid(SentencePiece().Add("tokenizer.ggml.add_space_prefix", kBool, Bytes<std::uint8_t>(0)));
  CHECK(*unprefixed->Encode("ab", {.add_special_tokens = false}) == Ids{9});
  CHECK(*unprefixed->Decode(Ids{8}) == " a");
}

TEST_CASE("every pre-tokenizer that has a name compiles and keeps all bytes") {
  for (const std::string name :
       {"default", "llama-bpe", "dbrx", "qwen2", "seed-coder", "bailingmoe", "tekken", "gpt-4o", "gpt-2",
        "falcon", "smollm", "bloom", "viking", "deepseek-llm", "deepseek-coder", "deepseek-v3"}) {
    INFO(name);
    const auto pre_tokenizer = tokenizer::MakeGgufPreTokenizer(name);
    REQUIRE(pre_tokenizer.ok());
    for (const std::string& text : GoldenTexts()) {
      if (text.empty()) continue;
      tokenizer::Pieces pieces{text, {{0, text.size()}}, true};
      for (const auto& stage : pre_tokenizer->stages) REQUIRE(stage->Apply(&pieces).ok());
      std::size_t end = 0;
      for (const tokenizer::Span& span : pieces.spans) {
        CHECK(span.begin == end);
        end = span.end;
      }
      CHECK(end == pieces.text.size());
    }
  }
}

TEST_CASE("damaged and unknown vocabularies are refused with the key") {
  struct Row {
    GgufBuilder builder;
    StatusCode code;
    const char* message;
  };
  constexpr auto kDataLoss = StatusCode::kDataLoss;
  constexpr auto kUnimplemented = StatusCode::kUnimplemented;
  const auto model = [](const char* name) {
    return GgufBuilder().Add("tokenizer.ggml.model", kString, GgufString(name));
  };
  const auto one_token = [&](const char* name, const char* pre) {
    return model(name)
        .Add("tokenizer.ggml.pre", kString, GgufString(pre))
        .AddArray("tokenizer.ggml.tokens", kString, 2, Strings({"a", "b"}));
  };
  const std::vector<Row> rows{
      {GgufBuilder(), kDataLoss, "tokenizer.ggml.model is missing"},
      {model("bert"), kUnimplemented, "'bert'"},
      {model("t5"), kUnimplemented, "'t5'"},
      {model("gpt2"), kDataLoss, "tokenizer.ggml.tokens is missing"},
      {one_token("gpt2", "no-such-pre"), kUnimplemented, "'no-such-pre'"},
      {one_token("gpt2", "gpt-2"), kDataLoss, "tokenizer.ggml.merges is missing"},
      {one_token("llama", "default"), kDataLoss, "tokenizer.ggml.scores is missing"},
      {one_token("gpt2", "gpt-2").AddArray("tokenizer.ggml.merges", kString, 1, Strings({"ab"})), kDataLoss,
       "'ab'"},
      {one_token("gpt2", "gpt-2").AddArray("tokenizer.ggml.merges", kString, 1, Strings({"a b"})), kDataLoss,
       "'ab'"},
      {one_token("gpt2", "gpt-2").AddArray("tokenizer.ggml.merges", kI32, 1, Bytes<std::int32_t>(1)),
       kDataLoss, "tokenizer.ggml.merges is of type"},
      {one_token("llama", "x").AddArray("tokenizer.ggml.scores", kF32, 1, Bytes(1.0f)), kDataLoss,
       "only 1 scores"},
      {one_token("llama", "x").AddArray("tokenizer.ggml.scores", kF32, 2, Numbers<float>({0, NAN})),
       kDataLoss, "not a number"},
      {one_token("llama", "x").AddArray("tokenizer.ggml.token_type", kI32, 1, Bytes<std::int32_t>(1)),
       kDataLoss, "tokenizer.ggml.token_type has 1 entries"},
      {model("gpt2").AddArray("tokenizer.ggml.tokens", kString, 2, Strings({"a", "a"})), kDataLoss,
       "two ids"},
      {model("gpt2").AddArray("tokenizer.ggml.tokens", kString, 0, ""), kDataLoss, "is empty"},
      {BytePair().Add("tokenizer.ggml.eos_token_id", kU32, Bytes<std::uint32_t>(8)), kDataLoss,
       "eos_token_id is 8"},
      {BytePair().Add("tokenizer.ggml.eos_token_id", kString, GgufString("7")), kDataLoss, "eos_token_id"},
      {BytePair().Add("tokenizer.ggml.add_bos_token", kU32, Bytes<std::uint32_t>(1)), kDataLoss,
       "add_bos_token"},
      {BytePair().Add("tokenizer.chat_template", kU32, Bytes<std::uint32_t>(1)), kDataLoss, "chat_template"},
  };
  for (const Row& row : rows) {
    INFO(row.message);
    const auto loaded = Load(row.builder);
    INFO(loaded.status().ToString());
    CHECK(loaded.status().code() == row.code);
    CHECK(loaded.status().message().find(row.message) != std::string::npos);
  }
}

}  // namespace
}  // namespace reprise
