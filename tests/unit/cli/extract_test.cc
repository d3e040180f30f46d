// reprise extract on the embedded model.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "cli/command.h"
#include "cli/hidden_states.h"
#include "models/formats/checkpoint.h"
#include "models/model.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise {
namespace {

constexpr char kModel[] = "assets/base";

std::vector<float> Floats(const TensorInfo& tensor) {
  REQUIRE(tensor.type == WeightType::kF32);
  const auto* values = reinterpret_cast<const float*>(tensor.data);
  return {values, values + tensor.elements()};
}

TEST_CASE("hidden states: a sequence's rows do not depend on what shares its step") {
  auto backend = MakeCpuBackend({2, ""});
  REQUIRE(backend.ok());
  auto model = Model::Load(kModel, **backend);
  REQUIRE(model.ok());
  auto states = HiddenStates::Create(**backend, (*model)->decoder(), 40);
  REQUIRE(states.ok());
  const std::vector<TokenId> first = {0, 300, 301, 302, 303}, second(33, 350), third = {0, 17, 18};
  const std::vector<std::span<const TokenId>> all = {first, second, third};
  CHECK(states->Fitting(all) == 2);  // 5 + 33 of 40 tokens; three more are too many

  const auto alone = states->Compute(std::span(all).subspan(1, 1));
  REQUIRE(alone.ok());
  const std::vector<float> expected(alone->begin(), alone->end());
  const auto together = states->Compute(std::span(all).first(2));
  const std::size_t width = static_cast<std::size_t>((*model)->config().hidden_size);
  REQUIRE(together.ok());
  REQUIRE(together->size() == (first.size() + second.size()) * width);
  CHECK(std::equal(expected.begin(), expected.end(), together->begin() + first.size() * width));
}

TEST_CASE("extract: writes the states of each sequence, in order, with their ids") {
  const TempDir dir;
  const std::string tokens = dir.Write("t.jsonl", R"({"prompt": [0, 300], "answer": [301, 302]})"
                                                  "\n"
                                                  R"({"tokens": [0, 300, 301]})"
                                                  "\n");
  const std::string out = dir.path() + "/hidden";
  REQUIRE(RunExtract({"--model", kModel, "--tokens", tokens, "--out", out, "--dtype", "f32"}) == kExitOk);

  CHECK(ReadWholeFile(out + "/sequences.jsonl") ==
        "{\"answer_start\": 2, \"tokens\": [0, 300, 301, 302]}\n"
        "{\"answer_start\": 0, \"tokens\": [0, 300, 301]}\n");
  const auto file = Checkpoint::Open(out + "/hidden-00000.safetensors");
  REQUIRE(file.ok());
  const TensorInfo* hidden = (*file)->Find("hidden");
  REQUIRE(hidden != nullptr);
  REQUIRE(hidden->shape[0] == 7);
  const auto width = static_cast<std::size_t>(hidden->shape[1]);
  const std::vector<float> rows = Floats(*hidden);
  // The second sequence is a prefix of the first, and so are its states.
  CHECK(std::equal(rows.begin(), rows.begin() + 3 * width, rows.begin() + 4 * width));
  CHECK_FALSE(std::equal(rows.begin(), rows.begin() + width, rows.begin() + width));
}

TEST_CASE("extract: bad input ends with an error and leaves nothing behind") {
  const TempDir dir;
  const std::string out = dir.path() + "/hidden";
  const std::string bad = dir.Write("bad.jsonl", "{\"tokens\": [0, 4096]}\n");
  const std::string good = dir.Write("good.jsonl", "{\"tokens\": [0, 1]}\n");
  CHECK(RunExtract({"--model", kModel, "--tokens", bad, "--out", out}) == kExitFailed);
  CHECK(RunExtract({"--model", kModel, "--text", dir.path() + "/none", "--out", out}) == kExitFailed);
  CHECK(RunExtract({"--model", kModel, "--tokens", good, "--text", good, "--out", out}) == kExitUsage);
  CHECK(RunExtract({"--model", kModel, "--tokens", good}) == kExitUsage);
  CHECK_FALSE(std::filesystem::exists(out));
  CHECK_FALSE(std::filesystem::exists(out + ".partial"));
  REQUIRE(RunExtract({"--model", kModel, "--tokens", good, "--out", out}) == kExitOk);
  CHECK(RunExtract({"--model", kModel, "--tokens", good, "--out", out}) == kExitFailed);  // it exists
}

}  // namespace
}  // namespace reprise
