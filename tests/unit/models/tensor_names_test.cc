#include "models/tensor_names.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

#include "models/config.h"
#include "tests/unit/models/formats/gguf_builder.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise {
namespace {

struct Expected {
  TensorRole role;
  std::vector<std::int64_t> shape;
};

// The tensors of one layer, and those outside layers, as tensor_names.h gives their shapes.
std::vector<Expected> ExpectedTensors(const ModelConfig& c) {
  const std::int64_t hidden = c.hidden_size, queries = c.num_heads * c.head_dim,
                     keys = c.num_kv_heads * c.head_dim;
  std::vector<Expected> all = {{TensorRole::kTokenEmbedding, {c.vocab_size, hidden}},
                               {TensorRole::kFinalNorm, {hidden}},
                               {TensorRole::kAttentionNorm, {hidden}},
                               {TensorRole::kQuery, {queries, hidden}},
                               {TensorRole::kKey, {keys, hidden}},
                               {TensorRole::kValue, {keys, hidden}},
                               {TensorRole::kAttentionOutput, {hidden, queries}},
                               {TensorRole::kMlpNorm, {hidden}},
                               {TensorRole::kGate, {c.intermediate_size, hidden}},
                               {TensorRole::kUp, {c.intermediate_size, hidden}},
                               {TensorRole::kDown, {hidden, c.intermediate_size}}};
  if (!c.tie_embeddings) all.push_back({TensorRole::kHead, {c.vocab_size, hidden}});
  if (c.attention_bias) {
    all.push_back({TensorRole::kQueryBias, {queries}});
    all.push_back({TensorRole::kKeyBias, {keys}});
    all.push_back({TensorRole::kValueBias, {keys}});
  }
  if (c.attention_output_bias) all.push_back({TensorRole::kAttentionOutputBias, {hidden}});
  if (c.qk_norm) {
    all.push_back({TensorRole::kQueryNorm, {c.head_dim}});
    all.push_back({TensorRole::kKeyNorm, {c.head_dim}});
  }
  return all;
}

TEST_CASE("The config accounts for every tensor of every tiny model") {
  const std::string name =
      GENERATE("llama2", "llama3", "llama_linear", "mistral", "smollm2", "qwen2", "qwen3", "llama2-F16.gguf",
               "llama2-Q4_0.gguf", "llama3-Q8_0.gguf", "qwen2-Q8_0.gguf", "qwen3-Q8_0.gguf");
  INFO(name);
  const auto checkpoint = Checkpoint::Open("tests/data/models/" + name);
  REQUIRE(checkpoint.ok());
  const auto config = LoadModelConfig("tests/data/models/" + name);
  REQUIRE(config.ok());
  std::set<std::string> found;
  for (const Expected& expected : ExpectedTensors(*config)) {
    const bool per_layer = expected.role > TensorRole::kHead;
    for (int layer = 0; layer < (per_layer ? config->num_layers : 1); ++layer) {
      const auto tensor = FindTensor(**checkpoint, expected.role, layer);
      REQUIRE(tensor.status().ToString() == "OK");
      CHECK(CheckShape(**tensor, expected.shape).ToString() == "OK");
      found.insert((*tensor)->name);
    }
  }
  if ((*checkpoint)->Find("rope_freqs.weight") != nullptr) found.insert("rope_freqs.weight");
  CHECK(found.size() == (*checkpoint)->tensors().size());
}

std::vector<float> Values(const Checkpoint& checkpoint, TensorRole role) {
  const auto tensor = FindTensor(checkpoint, role, 1);
  REQUIRE(tensor.ok());
  std::vector<float> values(static_cast<std::size_t>((*tensor)->elements()));
  Dequantize((*tensor)->type, (*tensor)->data, (*tensor)->elements(), values.data());
  return values;
}

TEST_CASE("GGUF's llama architecture permutes the rows of q and k as config.h says") {
  const auto original = Checkpoint::Open("tests/data/models/llama2");
  const auto permuted = Checkpoint::Open("tests/data/models/llama2-F16.gguf");
  REQUIRE(original.ok());
  REQUIRE(permuted.ok());
  const int columns = 64, head_dim = 16;
  for (const TensorRole role : {TensorRole::kQuery, TensorRole::kKey, TensorRole::kValue}) {
    const std::vector<float> expected = Values(**original, role);
    const std::vector<float> values = Values(**permuted, role);
    REQUIRE(values.size() == expected.size());
    for (int row = 0; row < 64; ++row) {
      const int head = row / head_dim, within = row % head_dim;
      const int from =
          role == TensorRole::kValue ? row : head * head_dim + within / 2 + within % 2 * (head_dim / 2);
      for (int column = 0; column < columns; ++column) {
        const float want =
            expected[static_cast<std::size_t>(from * columns + column)];  // bf16: F16 may round it
        CHECK(values[static_cast<std::size_t>(row * columns + column)] ==
              Approx(want).epsilon(1e-3).margin(1e-6));
      }
    }
  }
}

TEST_CASE("Errors name the tensor, what it has and what was expected") {
  const auto gguf = Checkpoint::Open("tests/data/models/llama2-F16.gguf");
  REQUIRE(gguf.ok());
  const auto bias = FindTensor(**gguf, TensorRole::kQueryBias, 3);
  CHECK(bias.status().ToString() == "NOT_FOUND: the model has no tensor 'blk.3.attn_q.bias'");
  const std::int64_t wrong[] = {64, 65};
  CHECK(CheckShape(**FindTensor(**gguf, TensorRole::kQuery, 1), wrong).ToString() ==
        "DATA_LOSS: tensor 'blk.1.attn_q.weight' has shape [64, 64], config says [64, 65]");
  const std::int64_t fewer[] = {64};
  CHECK_FALSE(CheckShape(**FindTensor(**gguf, TensorRole::kQuery, 1), fewer).ok());

  GgufBuilder builder;
  builder.AddTensor("output.weight", {256}, 10, 0);
  const TempDir dir;
  const auto odd = Checkpoint::Open(dir.Write("odd.gguf", builder.Build()));
  REQUIRE(odd.ok());
  CHECK_THAT(
      FindTensor(**odd, TensorRole::kHead).status().ToString(),
      Catch::StartsWith("UNIMPLEMENTED: tensor 'output.weight' has type 'Q2_K'; supported are F32, F16"));
}

}  // namespace
}  // namespace reprise
