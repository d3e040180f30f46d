#include "models/formats/token_sequences.h"

#include <catch2/catch.hpp>

#include "tests/unit/models/formats/temp_dir.h"

namespace reprise {
namespace {

constexpr int kVocabSize = 100;

Result<std::vector<TokenSequence>> Read(std::string_view text) {
  const TempDir dir;
  return ReadTokenSequences(dir.Write("answers.jsonl", text), kVocabSize);
}

void CheckRefused(std::string_view text, const std::string& fragment) {
  INFO(text);
  const auto sequences = Read(text);
  REQUIRE_FALSE(sequences.ok());
  CHECK_THAT(sequences.status().message(), Catch::Contains(fragment));
}

TEST_CASE("token sequences: an answer follows its prompt and is told apart") {
  const auto sequences = Read(R"({"id": "a", "prompt": [1, 2], "answer": [3, 99], "finish": "stop"})"
                              "\n\n"
                              R"({"tokens": [7]})"
                              "\n");
  REQUIRE(sequences.ok());
  REQUIRE(sequences->size() == 2);
  CHECK((*sequences)[0].tokens == std::vector<TokenId>{1, 2, 3, 99});
  CHECK((*sequences)[0].answer_start == 2);
  CHECK((*sequences)[1].tokens == std::vector<TokenId>{7});
  CHECK((*sequences)[1].answer_start == 0);
}

TEST_CASE("token sequences: a bad line is named") {
  CheckRefused("{\"tokens\": [1]}\n{\"tokens\": [1, 100]}\n", "answers.jsonl:2");
  CheckRefused(R"({"tokens": [-1]})", "-1");
  CheckRefused(R"({"tokens": [1.5]})", "1.5");
  CheckRefused(R"({"tokens": "1"})", "'tokens'");
  CheckRefused(R"({"prompt": [1]})", "'answer'");
  CheckRefused(R"({"tokens": []})", "empty");
  CheckRefused("[1, 2]", "object");
  CheckRefused("{\"tokens\": [1]", ":1: JSON");
  CheckRefused("\n\n", "no sequences");
}

}  // namespace
}  // namespace reprise
