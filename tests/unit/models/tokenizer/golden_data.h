// The data that tools/golden/tokenizer.py makes: texts, and what the `tokenizers` library makes of them.
#pragma once

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "models/tokenizer/tokenizer.h"

namespace reprise {

inline const std::string kTokenizerData = "tests/data/tokenizer/";

// Not there means not a source tree: a failure, not a skip.
inline std::vector<nlohmann::json> ReadJsonLines(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(file, line);) rows.push_back(nlohmann::json::parse(line));
  return rows;
}

inline std::vector<std::string> GoldenTexts() {
  std::vector<std::string> texts;
  for (const nlohmann::json& row : ReadJsonLines(kTokenizerData + "texts.jsonl")) texts.push_back(row);
  return texts;
}

inline std::unique_ptr<Tokenizer> LoadTokenizer(const std::string& path) {
  auto loaded = Tokenizer::Load(path);
  INFO(loaded.status().ToString());
  REQUIRE(loaded.ok());
  return std::move(*loaded);
}

// The small tokenizers that are committed.
inline const std::vector<std::string>& FamilyNames() {
  static const std::vector<std::string> names{"added",     "deepseek3", "gpt2", "llama2", "llama3",
                                              "metaspace", "mistral",   "phi3", "qwen2",  "smollm2",
                                              "suffixes",  "tekken",    "words"};
  return names;
}

}  // namespace reprise
