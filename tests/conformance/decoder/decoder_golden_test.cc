// Every architecture's logits against transformers' own (tests/data/models, made by
// tools/golden/make_tiny_models.py), on every backend and leg this machine has.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "kernels/backend.h"
#include "models/config.h"
#include "models/decoder.h"
#include "models/formats/checkpoint.h"
#include "tests/conformance/decoder/decoder_legs.h"
#include "tests/conformance/decoder/prompt_runner.h"

namespace reprise {
namespace {

struct Model {
  std::string path;    // directory or .gguf file
  std::string golden;  // prefix of golden.json and golden.safetensors
  bool quantised;      // integer kernels round activations too
};

// Allowed differences are shares of the logits' own standard deviation. Integer kernels also round
// activations to 8 bits per block of 32: relative error about 1/127/sqrt(12) an element, which the layers of
// a random network amplify; so the root mean square is bounded there.
constexpr double kInt8RmsTolerance = 0.08;
// Legs that round activations of bfloat16 weights to it: about 2^-7/sqrt(12)/1.4 of an element, a third of
// the above, which is of the largest in 32.
constexpr double kBf16RmsTolerance = 0.03;

std::vector<Model> Models() {
  std::vector<Model> models;
  const std::string root = "tests/data/models/";
  for (const char* name :
       {"llama2", "llama3", "llama_linear", "mistral", "smollm2", "qwen2", "qwen3", "opt", "phi"}) {
    models.push_back({root + name, root + name + "/", false});
  }
  for (const char* name : {"llama2-F16", "llama2-Q8_0", "llama2-Q4_0", "llama2-Q4_1", "llama2-Q5_0",
                           "llama2-Q5_1", "llama3-Q8_0", "qwen2-Q8_0", "qwen3-Q8_0"}) {
    const bool quantised = std::string(name).find("-Q") != std::string::npos;
    models.push_back({root + name + ".gguf", root + name + ".", quantised});
  }
  return models;
}

double StandardDeviation(std::span<const float> values) {
  double sum = 0, squares = 0;
  for (float v : values) sum += v, squares += static_cast<double>(v) * v;
  const double mean = sum / static_cast<double>(values.size());
  return std::sqrt(squares / static_cast<double>(values.size()) - mean * mean);
}

TEST_CASE("Decoder logits equal transformers'", "[decoder]") {
  std::vector<DecoderLeg> legs = DecoderLegs();
  std::cout << "decoder legs run:";
  for (const DecoderLeg& leg : legs) std::cout << " " << leg.name;
  std::cout << std::endl;
  REQUIRE(!legs.empty());
  std::set<WeightType> types;
  for (const Model& model : Models()) {
    const auto config = LoadModelConfig(model.path);
    INFO(model.path << ": " << config.status().ToString());
    REQUIRE(config.ok());
    const auto checkpoint = Checkpoint::Open(model.path);
    REQUIRE(checkpoint.ok());
    bool bf16 = false;
    for (const TensorInfo& tensor : (*checkpoint)->tensors()) {
      types.insert(tensor.type);
      bf16 |= tensor.type == WeightType::kBF16;
    }
    const auto golden_file = Checkpoint::Open(model.golden + "golden.safetensors");
    REQUIRE(golden_file.ok());
    std::ifstream json_file(model.golden + "golden.json");
    const auto golden = nlohmann::json::parse(json_file);
    for (DecoderLeg& leg : legs) {
      auto decoder = Decoder::Load(**checkpoint, *config, *leg.backend, config->max_position);
      INFO(leg.name << ": " << decoder.status().ToString());
      REQUIRE(decoder.ok());
      REQUIRE((*decoder)->Reserve(64, 64).ok());
      for (std::size_t p = 0; p < golden["prompts"].size(); ++p) {
        const auto tokens = golden["prompts"][p]["tokens"].get<std::vector<TokenId>>();
        const int rows = golden["prompts"][p]["rows"].get<int>();
        const TensorInfo* expected = (*golden_file)->Find("logits." + std::to_string(p));
        REQUIRE(expected != nullptr);
        std::vector<float> want(static_cast<std::size_t>(expected->elements()));
        std::memcpy(want.data(), expected->data, expected->bytes);
        const auto got = RunPrompt(**decoder, *leg.backend, tokens, rows, leg.chunk, KvType::kF32);
        REQUIRE(got.size() == want.size());
        double worst = 0, squares = 0;
        for (std::size_t i = 0; i < got.size(); ++i) {
          const double difference =
              std::isnan(got[i]) ? INFINITY : static_cast<double>(std::abs(got[i] - want[i]));
          worst = std::max(worst, difference);
          squares += difference * difference;
        }
        const double scale = StandardDeviation(want);
        const double rms = std::sqrt(squares / static_cast<double>(got.size()));
        INFO("prompt " << p << ": worst " << worst / scale << ", rms " << rms / scale
                       << " of the standard deviation");
        if (model.quantised && leg.int8_activations) {
          CHECK(rms <= kInt8RmsTolerance * scale);
        } else if (bf16 && leg.bf16_activations) {
          CHECK(rms <= kBf16RmsTolerance * scale);
        } else {
          CHECK(worst <= leg.tolerance * scale);
        }
        // The same bits however the prompt is cut.
        for (int chunk : {1, 7})
          CHECK(RunPrompt(**decoder, *leg.backend, tokens, rows, chunk, KvType::kF32) == got);
      }
    }
  }
  CHECK(types.size() >= 7);
}

TEST_CASE("A bf16 cache changes logits only by its rounding", "[decoder]") {
  const std::string path = "tests/data/models/smollm2";
  const auto config = LoadModelConfig(path);
  const auto checkpoint = Checkpoint::Open(path);
  REQUIRE((config.ok() && checkpoint.ok()));
  std::vector<TokenId> tokens(40);
  std::iota(tokens.begin(), tokens.end(), 20);
  for (DecoderLeg& leg : DecoderLegs()) {
    INFO(leg.name);
    auto decoder = Decoder::Load(**checkpoint, *config, *leg.backend, config->max_position);
    REQUIRE(decoder.ok());
    REQUIRE((*decoder)->Reserve(64, 64).ok());
    const auto exact = RunPrompt(**decoder, *leg.backend, tokens, 40, leg.chunk, KvType::kF32);
    const auto rounded = RunPrompt(**decoder, *leg.backend, tokens, 40, leg.chunk, KvType::kBF16);
    double worst = 0;
    for (std::size_t i = 0; i < exact.size(); ++i)
      worst = std::max<double>(worst, std::abs(exact[i] - rounded[i]));
    CHECK(worst > 0);
    CHECK(worst < 0.25 * StandardDeviation(exact));  // 8 bits of mantissa, amplified by random layers
  }
}

}  // namespace
}  // namespace reprise
