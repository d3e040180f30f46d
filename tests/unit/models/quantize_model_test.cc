// Models of every architecture as block-quantised GGUF files.
#include "models/quantize_model.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "models/config.h"
#include "models/formats/checkpoint.h"
#include "models/tokenizer/tokenizer.h"
#include "tests/conformance/decoder/prompt_runner.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise {
namespace {

const std::vector<TokenId>& Tokens() {
  static const std::vector<TokenId> tokens = {20, 31, 40, 99, 200, 7, 150, 21, 88, 13, 250, 60};
  return tokens;
}

TEST_CASE("a quantised model is the model but for the rounding") {
  const TempDir dir;
  const std::unique_ptr<Backend> reference = MakeReferenceBackend();
  // Heads that GGUF permutes, biases, frequency scalings, windows, tied and own heads, and a GGUF source.
  for (const char* name : {"llama2", "llama3", "llama_linear", "mistral", "smollm2", "qwen2", "qwen3", "opt",
                           "phi", "llama2-F16.gguf", "llama3-Q8_0.gguf"}) {
    INFO(name);
    const std::string source = std::string("tests/data/models/") + name;
    const std::vector<float> exact = ModelLogits(source, *reference, Tokens());
    const QuantizeOptions options{source, dir.path() + "/" + name + ".q8.gguf", WeightType::kQ8_0};
    const auto summary = QuantizeModel(options, nullptr);
    INFO(summary.status().ToString());
    REQUIRE(summary.ok());
    const double difference = RelativeDifference(exact, ModelLogits(options.out, *reference, Tokens()));
    INFO(difference);
    CHECK(difference < 0.1);
    const ModelConfig before = LoadModelConfig(source).value();
    const ModelConfig after = LoadModelConfig(options.out).value();
    CHECK(after.vocab_size == before.vocab_size);
    CHECK(after.tie_embeddings == before.tie_embeddings);
    CHECK(after.eos_token_ids == before.eos_token_ids);
    CHECK(after.sliding_window == before.sliding_window);
    CHECK(after.rotary_dim == before.rotary_dim);
    const auto tokenizer = Tokenizer::Load(options.out);
    INFO(tokenizer.status().ToString());
    REQUIRE(tokenizer.ok());
    const auto original = Tokenizer::Load(source).value();
    CHECK((*tokenizer)->Encode("the <|eos|> river, and").value() ==
          original->Encode("the <|eos|> river, and").value());
    CHECK((*tokenizer)->chat_template() == original->chat_template());
  }
}

TEST_CASE("tensors of the wanted type are copied, others are rounded as ggml does") {
  const TempDir dir;
  const QuantizeOptions same{"tests/data/models/llama2-Q8_0.gguf", dir.path() + "/same.gguf",
                             WeightType::kQ8_0};
  REQUIRE(QuantizeModel(same, nullptr).ok());
  const auto before = Checkpoint::Open(same.model);
  const auto after = Checkpoint::Open(same.out);
  for (const TensorInfo& tensor : (*before)->tensors()) {
    const TensorInfo* copy = (*after)->Find(tensor.name);
    INFO(tensor.name);
    REQUIRE((copy != nullptr && copy->type == tensor.type && copy->bytes == tensor.bytes));
    CHECK(std::equal(tensor.data, tensor.data + tensor.bytes, copy->data));
  }
  // The F16 file was converted from the same weights as the Q4_0 file, by ggml's own quantisation.
  const QuantizeOptions four{"tests/data/models/llama2", dir.path() + "/four.gguf", WeightType::kQ4_0};
  REQUIRE(QuantizeModel(four, nullptr).ok());
  const auto expected = Checkpoint::Open("tests/data/models/llama2-Q4_0.gguf");
  const auto got = Checkpoint::Open(four.out);
  for (const char* name :
       {"blk.0.attn_q.weight", "blk.1.attn_k.weight", "blk.1.ffn_down.weight", "output.weight"}) {
    INFO(name);
    const TensorInfo* a = (*expected)->Find(name);
    const TensorInfo* b = (*got)->Find(name);
    REQUIRE((a != nullptr && b != nullptr && a->type == b->type && a->bytes == b->bytes));
    CHECK(std::equal(a->data, a->data + a->bytes, b->data));
  }
}

TEST_CASE("bad input to quantisation is refused and leaves nothing") {
  const TempDir dir;
  const std::string out = dir.path() + "/out.gguf";
  const std::string model = "tests/data/models/llama2";
  const auto refused = [&](const QuantizeOptions& options, StatusCode code, const char* part) {
    const Status status = QuantizeModel(options, nullptr).status();
    INFO(status.ToString());
    CHECK(status.code() == code);
    CHECK_THAT(status.message(), Catch::Contains(part));
    CHECK_FALSE(std::filesystem::exists(out));
    CHECK_FALSE(std::filesystem::exists(out + ".partial"));
  };
  refused({dir.path() + "/none", out, WeightType::kQ8_0}, StatusCode::kNotFound, "none");
  refused({model, out, WeightType::kQ6_K}, StatusCode::kInvalidArgument, "q8_0, q4_0 and q4_1");
  refused({model, dir.path() + "/no/out.gguf", WeightType::kQ8_0}, StatusCode::kFailedPrecondition,
          "cannot create");
  refused({model, dir.Write("old.gguf", "x"), WeightType::kQ8_0}, StatusCode::kFailedPrecondition,
          "exists already");
  CHECK(ReadWholeFile(dir.path() + "/old.gguf") == "x");
}

}  // namespace
}  // namespace reprise
