// Sliced models as block-quantised GGUF files.
#include <catch2/catch.hpp>

#include "models/config.h"
#include "models/formats/checkpoint.h"
#include "models/quantize_model.h"
#include "tests/conformance/decoder/prompt_runner.h"
#include "tests/unit/compress/sliced_models.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise::compress {
namespace {

TEST_CASE("a sliced model survives quantisation, its widths padded to whole blocks") {
  const TempDir dir;
  const std::unique_ptr<Backend> backend = std::move(MakeCpuBackend({2, ""})).value();
  const std::unique_ptr<Backend> reference = MakeReferenceBackend();
  const std::vector<TokenId> tokens = {20, 31, 40, 99, 200, 7, 150, 21};
  for (const char* name : {"smollm2", "qwen3", "opt", "phi"}) {
    INFO(name);
    SliceOptions options = TinyOptions(name, dir.path() + "/" + name, 0.5);
    REQUIRE(SliceModel(options, *backend, nullptr).ok());
    const int width = LoadModelConfig(options.out).value().embedding_width();
    const std::vector<float> exact = ModelLogits(options.out, *reference, tokens);
    for (const WeightType type : {WeightType::kQ8_0, WeightType::kQ4_1}) {
      QuantizeOptions quantize{options.out, options.out + std::string(GetWeightTypeInfo(type).name) + ".gguf",
                               type};
      const auto summary = QuantizeModel(quantize, nullptr);
      INFO(summary.status().ToString());
      REQUIRE(summary.ok());
      CHECK(summary->unquantized_matrices == 0);
      const auto config = LoadModelConfig(quantize.out);
      REQUIRE(config.ok());
      CHECK(config->embedding_width() == (width + 31) / 32 * 32);
      CHECK(config->norm_dim == config->hidden_size);
      const std::vector<float> quantised = ModelLogits(quantize.out, *reference, tokens);
      const double difference = RelativeDifference(exact, quantised);
      INFO(GetWeightTypeInfo(type).name << ": " << difference);
      CHECK(difference < (type == WeightType::kQ8_0 ? 0.1 : 0.8));
      CHECK(difference > 0.0);
      const auto checkpoint = Checkpoint::Open(quantize.out);
      CHECK((*checkpoint)->Find("blk.0.attn_q.weight")->type == type);
      CHECK((*checkpoint)->Find("blk.0.attn_shortcut.weight")->type == WeightType::kQ8_0);
      // The vector legs run it too.
      CHECK(RelativeDifference(quantised, ModelLogits(quantize.out, *backend, tokens)) < 0.1);
    }
  }
}

}  // namespace
}  // namespace reprise::compress
