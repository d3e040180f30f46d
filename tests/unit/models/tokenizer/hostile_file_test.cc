// Damaged tokenizer.json files end with an error that says where, never with a crash.
#include <random>

#include <catch2/catch.hpp>

#include "tests/unit/models/formats/temp_dir.h"
#include "tests/unit/models/tokenizer/golden_data.h"

namespace reprise {
namespace {

using nlohmann::json;

const json& ValidTokenizer() {
  static const json valid = json::parse(R"({
    "added_tokens": [{"id": 4, "content": "<s>", "special": true, "normalized": false}],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\s"}, "behavior": "Isolated", "invert": false},
    "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
                       "special_tokens": {"<s>": {"id": "<s>", "ids": [4]}}},
    "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "x"}, "content": "y"},
                                                 {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    "model": {"type": "BPE", "unk_token": "c", "vocab": {"a": 0, "b": 1, "ab": 2, "c": 3}, "merges": ["a b"]}})");
  return valid;
}

Status LoadText(const std::string& text) {
  const TempDir dir;
  return Tokenizer::Load(dir.Write("tokenizer.json", text)).status();
}

// The valid file with the value at `pointer` replaced.
Status LoadChanged(const std::string& pointer, const std::string& value) {
  json changed = ValidTokenizer();
  changed[json::json_pointer(pointer)] = json::parse(value);
  return LoadText(changed.dump());
}

TEST_CASE("the file that the others are changed from is valid") {
  CHECK(LoadText(ValidTokenizer().dump()).ok());
}

TEST_CASE("values that make no sense are refused with their place") {
  struct Row {
    const char* pointer;
    const char* value;
    StatusCode code;
    const char* message;  // contains
  };
  constexpr auto kDataLoss = StatusCode::kDataLoss;
  constexpr auto kInvalid = StatusCode::kInvalidArgument;
  constexpr auto kUnimplemented = StatusCode::kUnimplemented;
  const std::vector<Row> rows{
      {"/model", "3", kInvalid, "'model'"},
      {"/model/type", "\"Unigram\"", kUnimplemented, "Unigram"},
      {"/model/vocab", "[[\"a\", 0]]", kInvalid, "model.vocab"},
      {"/model/vocab/b", "0", kDataLoss, "both have the id 0"},
      {"/model/vocab/b", "-1", kDataLoss, "'b'"},
      {"/model/vocab/b", "4294967297", kDataLoss, "4294967297"},
      {"/model/vocab/b", "18446744073709551615", kDataLoss, "not an integer"},
      {"/model/vocab/b", "1.5", kDataLoss, "'b'"},
      {"/model/vocab/b", "[1]", kDataLoss, "'b'"},
      {"/model/merges", "[\"a\"]", kDataLoss, "model.merges"},
      {"/model/merges", "[\"a x\"]", kDataLoss, "'x'"},
      {"/model/merges", "[\"b a\"]", kDataLoss, "'ba'"},
      {"/model/merges", "[[\"a\"]]", kDataLoss, "merge 0"},
      {"/model/merges", "[[\"a\", \"b\", \"c\"]]", kDataLoss, "merge 0"},
      {"/model/merges", "[[\"a\", 1]]", kDataLoss, "merge 0"},
      {"/model/merges", "[7]", kDataLoss, "merge 0"},
      {"/model/merges", "[[[\"a\"]]]", kDataLoss, "merge 0"},
      {"/model/unk_token", "\"<none>\"", kDataLoss, "<none>"},
      {"/model/byte_fallback", "1", kInvalid, "byte_fallback"},
      {"/added_tokens", "{}", kInvalid, "added_tokens"},
      {"/added_tokens/0", "5", kDataLoss, "added_tokens[0]"},
      {"/added_tokens/0/id", "0", kDataLoss, "which in model.vocab is 'a'"},
      {"/added_tokens/0/id", "\"4\"", kInvalid, "added_tokens[0].id"},
      {"/added_tokens/0/id", "-4", kDataLoss, "-4"},
      {"/added_tokens/0/id", "2000000000", kDataLoss, "2000000000"},
      {"/added_tokens/0/content", "\"a\"", kDataLoss, "has the id 4 here and 0"},
      {"/added_tokens/0/content", "null", kInvalid, "added_tokens[0].content"},
      {"/added_tokens/0/lstrip", "\"no\"", kInvalid, "lstrip"},
      {"/normalizer", "\"NFC\"", kDataLoss, "'normalizer'"},
      {"/normalizer/type", "7", kInvalid, "normalizer.type"},
      {"/pre_tokenizer/pattern", "{}", kInvalid, "pattern"},
      {"/pre_tokenizer/pattern/Regex", "\"(\"", kDataLoss, "pre_tokenizer.pattern"},
      {"/pre_tokenizer/behavior", "\"Sideways\"", kInvalid, "Sideways"},
      {"/post_processor/special_tokens/<s>/ids", "[99]", kDataLoss, "99"},
      {"/post_processor/special_tokens", "{}", kInvalid, "special_tokens"},
      {"/post_processor/single", "[3]", kInvalid, "single"},
      {"/decoder/decoders/1/content", "\"\"", kInvalid, "content"},
      {"/decoder/decoders/1/start", "-1", kInvalid, "start"},
      {"/decoder/decoders", "7", kInvalid, "decoders"},
  };
  for (const Row& row : rows) {
    INFO(row.pointer << " = " << row.value);
    const Status status = LoadChanged(row.pointer, row.value);
    INFO(status.ToString());
    CHECK(status.code() == row.code);
    CHECK(status.message().find(row.message) != std::string::npos);
  }
}

TEST_CASE("text that is not such a JSON is refused") {
  const std::string deep(100'000, '[');
  const std::vector<std::string> texts{"{",
                                       "[]",
                                       "null",
                                       "{}",
                                       R"({"model": null})",
                                       R"({"a": 1, "a": 2})",
                                       R"({"model": {"vocab": {"a": 0, "a": 1}, "merges": []}})",
                                       R"({"model": {"vocab": {}, "vocab": {}, "merges": []}})",
                                       R"({"x": )" + deep + "}",
                                       R"({"model": {"merges": )" + deep + "}}",
                                       "{\"x\": \"\xff\"}"};
  for (const std::string& text : texts) {
    INFO(text.substr(0, 60));
    const StatusCode code = LoadText(text).code();
    CHECK((code == StatusCode::kDataLoss || code == StatusCode::kInvalidArgument));
  }
}

TEST_CASE("an added token of absurd length is refused") {
  CHECK(LoadChanged("/added_tokens/0/content", json(std::string(5000, 'x')).dump()).code() ==
        StatusCode::kUnimplemented);
}

// What loads after random damage must also tokenize without a crash.
TEST_CASE("random damage") {
  const std::string valid = ReadWholeFile(kTokenizerData + "phi3/tokenizer.json");
  REQUIRE_FALSE(valid.empty());
  std::mt19937 random(5);
  const TempDir dir;
  int loaded = 0;
  for (int i = 0; i < 300; ++i) {
    std::string damaged = valid;
    const std::size_t edits = 1 + random() % 3;
    for (std::size_t k = 0; k < edits; ++k) {
      const std::size_t at = random() % damaged.size();
      switch (random() % 4) {
        case 0:
          damaged[at] = static_cast<char>(random() % 128);
          break;
        case 1:
          damaged.erase(at, 1 + random() % 20);
          break;
        case 2:
          damaged.insert(at, valid.substr(random() % valid.size(), random() % 40));
          break;
        default:
          damaged.resize(std::max<std::size_t>(at, damaged.size() - 1));
          break;
      }
    }
    const auto tokenizer = Tokenizer::Load(dir.Write("tokenizer.json", damaged));
    if (!tokenizer.ok()) continue;
    ++loaded;
    const auto ids = (*tokenizer)->Encode("<|user|> Hello\n wörld 🦙 <s>x</s>  ");
    if (ids.ok()) CHECK((*tokenizer)->Decode(*ids).ok());
  }
  CHECK(loaded > 0);
}

}  // namespace
}  // namespace reprise
