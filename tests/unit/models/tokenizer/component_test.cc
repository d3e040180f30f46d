// Normalizers and pre-tokenizers one by one against the library that defines them.
#include <catch2/catch.hpp>

#include "models/tokenizer/json_components.h"
#include "tests/unit/models/tokenizer/golden_data.h"

namespace reprise::tokenizer {
namespace {

using nlohmann::json;

// Of every fourth text, as in tools/golden/tokenizer.py.
std::vector<std::string> ComponentTexts() {
  const std::vector<std::string> all = GoldenTexts();
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < all.size(); i += 4) texts.push_back(all[i]);
  return texts;
}

TEST_CASE("normalizers agree with the original") {
  const std::vector<std::string> texts = ComponentTexts();
  for (const json& row : ReadJsonLines(kTokenizerData + "normalizers.jsonl")) {
    INFO(row["normalizer"].dump());
    const auto normalizers = ParseNormalizers(row);
    REQUIRE(normalizers.ok());
    REQUIRE(row["outputs"].size() == texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      INFO("text: " << json(texts[i]).dump());
      std::string text = texts[i];
      REQUIRE(ApplyAll(*normalizers, &text).ok());
      CHECK(text == row["outputs"][i].get<std::string>());
    }
  }
}

TEST_CASE("pre-tokenizers agree with the original") {
  const std::vector<std::string> texts = ComponentTexts();
  for (const json& row : ReadJsonLines(kTokenizerData + "pre_tokenizers.jsonl")) {
    INFO(row["pre_tokenizer"].dump());
    const auto pre_tokenizers = ParsePreTokenizers(row);
    REQUIRE(pre_tokenizers.ok());
    REQUIRE(row["outputs"].size() == texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      INFO("text: " << json(texts[i]).dump());
      Pieces pieces{texts[i], {}, true};
      if (!texts[i].empty()) pieces.spans.push_back({0, texts[i].size()});
      for (const auto& pre_tokenizer : *pre_tokenizers) REQUIRE(pre_tokenizer->Apply(&pieces).ok());
      std::vector<std::string> found;
      for (const Span& span : pieces.spans) found.emplace_back(span.Of(pieces.text));
      CHECK(found == row["outputs"][i].get<std::vector<std::string>>());
    }
  }
}

TEST_CASE("Metaspace's older add_prefix_space is understood") {
  const json root = json::parse(
      R"({"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": false}})");
  const auto pre_tokenizers = ParsePreTokenizers(root);
  REQUIRE(pre_tokenizers.ok());
  Pieces pieces{"a b", {{0, 3}}, true};
  REQUIRE(pre_tokenizers->front()->Apply(&pieces).ok());
  CHECK(pieces.text == "a▁b");
  CHECK(pieces.spans.size() == 2);
}

TEST_CASE("what cannot be done is named") {
  const auto normalizer = ParseNormalizers(json::parse(R"({"normalizer": {"type": "Precompiled"}})"));
  CHECK(normalizer.status().code() == StatusCode::kUnimplemented);
  CHECK(normalizer.status().message().find("Precompiled") != std::string::npos);
  const auto nested = ParsePreTokenizers(json::parse(
      R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "UnicodeScripts"}]}})"));
  CHECK(nested.status().code() == StatusCode::kUnimplemented);
  CHECK(nested.status().message().find("pre_tokenizer.pretokenizers[1].type") != std::string::npos);
  const auto decoder = ParseDecoder(json::parse(R"({"decoder": {"type": "CTC"}})"));
  CHECK(decoder.status().code() == StatusCode::kUnimplemented);
}

TEST_CASE("decoders after Fuse act on the text as a whole or are refused") {
  const auto decoder = [](const std::string& last) {
    return ParseDecoder(
        json::parse(R"({"decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}, )" + last + "]}}"));
  };
  CHECK(decoder(R"({"type": "Strip", "content": " ", "start": 1, "stop": 0})")->strips_leading_space);
  CHECK_FALSE(decoder(R"({"type": "Strip", "content": " ", "start": 0, "stop": 0})")->strips_leading_space);
  for (const char* refused : {R"({"type": "Strip", "content": " ", "start": 2, "stop": 0})",
                              R"({"type": "Strip", "content": " ", "start": 0, "stop": 1})",
                              R"({"type": "Strip", "content": "x", "start": 1, "stop": 0})",
                              R"({"type": "Replace", "pattern": {"String": "ab"}, "content": "c"})"}) {
    CHECK(decoder(refused).status().code() == StatusCode::kUnimplemented);
  }
}

TEST_CASE("post-processors put tokens around a text, the later ones outside") {
  const auto around =
      ParsePostProcessor(json::parse(R"({"post_processor": {"type": "Sequence", "processors": [
      {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "a"}}, {"Sequence": {"id": "A"}}],
       "special_tokens": {"a": {"id": "a", "ids": [1, 2]}}},
      {"type": "ByteLevel"},
      {"type": "BertProcessing", "cls": ["c", 3], "sep": ["s", 4]}]}})"));
  REQUIRE(around.ok());
  CHECK(around->prefix == std::vector<TokenId>{3, 1, 2});
  CHECK(around->suffix == std::vector<TokenId>{4});
}

TEST_CASE("templates that name no text, or two, are refused") {
  for (const char* single : {R"([])", R"([{"Sequence": {"id": "A"}}, {"Sequence": {"id": "A"}}])"}) {
    const json root =
        json::parse(std::string(R"({"post_processor": {"type": "TemplateProcessing", "single": )") + single +
                    R"(, "special_tokens": {}}})");
    CHECK(ParsePostProcessor(root).status().code() == StatusCode::kUnimplemented);
  }
}

}  // namespace
}  // namespace reprise::tokenizer
