// What slicing makes of a model: nothing where nothing is deleted, and what an independent implementation
// makes of it elsewhere.
#include "compress/slice_model.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "models/config.h"
#include "models/formats/checkpoint.h"
#include "models/model_tensors.h"
#include "models/tokenizer/tokenizer.h"
#include "tests/conformance/decoder/prompt_runner.h"
#include "tests/unit/compress/sliced_models.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise::compress {
namespace {

std::vector<TokenId> SomeTokens() {
  std::vector<TokenId> tokens(24);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<TokenId>((i * i * 7 + 20) % 270);
  return tokens;
}

TEST_CASE("a model that is fused and turned but not sliced computes the same") {
  const TempDir dir;
  const std::unique_ptr<Backend> backend = std::move(MakeCpuBackend({2, ""})).value();
  // Scales, offsets, biases, head norms, permuted heads and windows all pass through the fusion.
  for (const char* name : {"smollm2", "llama_linear", "mistral", "qwen2", "qwen3", "opt", "phi", "llama3",
                           "tests/data/models/llama2-F16.gguf", "tests/data/models/llama3-Q8_0.gguf"}) {
    INFO(name);
    const std::string out = dir.path() + "/out-" + std::string(name).substr(std::string(name).rfind('/') + 1);
    const SliceOptions options = TinyOptions(name, out, 0.0);
    const auto summary = SliceModel(options, *backend, nullptr);
    INFO(summary.status().ToString());
    REQUIRE(summary.ok());
    const std::unique_ptr<Backend> exact = MakeReferenceBackend();
    const std::vector<TokenId> tokens = SomeTokens();
    const std::vector<float> dense = ModelLogits(options.model, *exact, tokens);
    const std::vector<float> turned = ModelLogits(out, *exact, tokens);
    CHECK(LargestDifference(dense, turned) < 1e-3);
    CHECK(LargestDifference(dense, turned) > 0.0);  // it is another computation
  }
}

TEST_CASE("sliced logits are those of an independent implementation") {
  const TempDir dir;
  std::ifstream file("tests/data/sliced/golden.json");
  const auto golden = nlohmann::json::parse(file);
  const auto golden_tensors = Checkpoint::Open("tests/data/sliced/golden.safetensors");
  REQUIRE(golden_tensors.ok());
  const auto prompt = golden["prompt"].get<std::vector<TokenId>>();
  std::vector<std::unique_ptr<Backend>> legs;
  legs.push_back(MakeReferenceBackend());
  for (const std::string& isa : AvailableCpuIsas())
    legs.push_back(std::move(MakeCpuBackend({2, isa})).value());
  for (const auto& [name, entry] : golden["models"].items()) {
    const TensorInfo* tensor = (*golden_tensors)->Find(name);
    REQUIRE(tensor != nullptr);
    std::vector<float> expected(static_cast<std::size_t>(tensor->elements()));
    std::memcpy(expected.data(), tensor->data, tensor->bytes);
    for (const Orientation orientation : {Orientation::kPca, Orientation::kRandom}) {
      SliceOptions options =
          TinyOptions(name, dir.path() + "/" + name + (orientation == Orientation::kPca ? "p" : "r"),
                      entry["sparsity"].get<double>());
      options.orientation = orientation;
      options.calibration.samples = entry["samples"].get<int>();
      options.calibration.length = golden["length"].get<int>();
      options.schedule.round_interval = golden["round_interval"].get<int>();
      REQUIRE(SliceModel(options, *legs.back(), nullptr).ok());
      for (const auto& leg : legs) {
        const std::vector<float> logits = ModelLogits(options.out, *leg, prompt);
        const double difference = LargestDifference(logits, expected);
        INFO(name << " on " << leg->name() << ": " << difference);
        CHECK(difference < 2e-3);
        // The same bits however the prompt is cut.
        for (const int chunk : {1, 7}) CHECK(ModelLogits(options.out, *leg, prompt, chunk) == logits);
      }
    }
  }
}

TEST_CASE("the same seed gives the same bytes, whatever the number of threads") {
  const TempDir dir;
  const auto bytes = [&](const std::string& out, std::uint64_t seed, int threads) {
    SliceOptions options = TinyOptions("smollm2", dir.path() + "/" + out, 0.25);
    options.calibration.seed = seed;
    const std::unique_ptr<Backend> backend = std::move(MakeCpuBackend({threads, ""})).value();
    REQUIRE(SliceModel(options, *backend, nullptr).ok());
    return ReadWholeFile(options.out + "/model.safetensors") + ReadWholeFile(options.out + "/config.json");
  };
  const std::string first = bytes("a", 42, 1);
  CHECK(first == bytes("b", 42, 3));
  CHECK(first != bytes("c", 43, 1));
}

TEST_CASE("the output is a model like any other") {
  const TempDir dir;
  const std::unique_ptr<Backend> backend = std::move(MakeCpuBackend({2, ""})).value();
  SliceOptions options = TinyOptions("tests/data/models/llama2-Q8_0.gguf", dir.path() + "/out", 0.25);
  options.dtype = "auto";
  std::vector<double> shares;
  const auto summary =
      SliceModel(options, *backend, [&](std::string_view, double done) { shares.push_back(done); });
  REQUIRE(summary.ok());
  CHECK(std::is_sorted(shares.begin(), shares.end()));
  CHECK(shares.back() == 1.0);
  const auto config = LoadModelConfig(options.out);
  REQUIRE(config.ok());
  CHECK(config->norm_dim == 64);
  CHECK(config->layer_widths(0) == LayerWidths{48, 48, 48});
  CHECK(config->layer_widths(1) == LayerWidths{48, 48, 64});
  CHECK(summary->sliced_parameters == NumParameters(*config));
  // The file holds these parameters, and the two rotations beside them.
  const auto checkpoint = Checkpoint::Open(options.out);
  REQUIRE(checkpoint.ok());
  std::int64_t elements = 0;
  for (const TensorInfo& tensor : (*checkpoint)->tensors()) elements += tensor.elements();
  CHECK(elements == summary->sliced_parameters + 64 * 48 + 64 * 64);
  CHECK((*checkpoint)->Find("model.layers.0.self_attn.q_proj.weight")->type == WeightType::kF16);
  // A GGUF file's tokenizer comes along.
  const auto tokenizer = Tokenizer::Load(options.out);
  REQUIRE(tokenizer.ok());
  CHECK((*tokenizer)->Encode("the river").value() ==
        Tokenizer::Load(options.model).value()->Encode("the river").value());
}

}  // namespace
}  // namespace reprise::compress
