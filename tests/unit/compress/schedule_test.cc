#include "compress/schedule.h"

#include <catch2/catch.hpp>

#include "models/model_tensors.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise::compress {
namespace {

// facebook/opt-125m and microsoft/phi-2, as their config.json describe them.
ModelConfig Opt125m() {
  ModelConfig config;
  config.architecture = Architecture::kOpt;
  config.vocab_size = 50272;
  config.hidden_size = 768;
  config.num_layers = 12;
  config.num_heads = config.num_kv_heads = 12;
  config.head_dim = 64;
  config.intermediate_size = 3072;
  config.max_position = 2048;
  config.norm = NormKind::kLayer;
  config.activation = Activation::kRelu;
  config.learned_positions = config.tie_embeddings = true;
  config.attention_bias = config.attention_output_bias = config.mlp_bias = true;
  return config;
}
ModelConfig Phi2() {
  ModelConfig config = Opt125m();
  config.architecture = Architecture::kPhi;
  config.vocab_size = 51200;
  config.hidden_size = 2560;
  config.num_layers = 32;
  config.num_heads = config.num_kv_heads = 32;
  config.head_dim = 80;
  config.rotary_dim = 32;
  config.intermediate_size = 10240;
  config.activation = Activation::kGeluTanh;
  config.parallel_block = config.head_bias = true;
  config.learned_positions = config.tie_embeddings = false;
  return config;
}

TEST_CASE("parameter counts are the official ones") {
  // The dense counts are those of the models' cards; the sliced ones of the authors'
  // tests/test_experiments.py.
  CHECK(NumParameters(Opt125m()) == 125239296);
  CHECK(NumParameters(Phi2()) == 2779683840);
  const Schedule schedule{.sparsity = 0.2, .round_interval = 8, .layer_config = ""};
  CHECK(NumParameters(SlicedConfig(Opt125m(), schedule).value()) == 147250880);
  CHECK(NumParameters(SlicedConfig(Phi2(), schedule).value()) == 2391772160);
}

TEST_CASE("widths of the constant schedule") {
  const auto width = [](double sparsity, int interval) {
    const Schedule schedule{.sparsity = sparsity, .round_interval = interval, .layer_config = ""};
    return SlicedConfig(Opt125m(), schedule).value().widths;
  };
  CHECK(width(0.25, 8).front() == LayerWidths{576, 576, 576});
  CHECK(width(0.2, 8)[5] == LayerWidths{608, 608, 608});  // 614 rounded down
  CHECK(width(0.2, 1)[5] == LayerWidths{614, 614, 614});
  CHECK(width(0.2, 8).back() == LayerWidths{608, 608, 768});  // the head reads all
  CHECK(width(0.0, 8).front() == LayerWidths{768, 768, 768});
  CHECK(SlicedConfig(Opt125m(), {}).value().head_bias);
  CHECK_FALSE(SlicedConfig(Opt125m(), {}).value().tie_embeddings);
}

TEST_CASE("impossible schedules are refused") {
  const auto message = [](const Schedule& schedule) {
    const auto config = SlicedConfig(Opt125m(), schedule);
    REQUIRE_FALSE(config.ok());
    CHECK(config.status().code() == StatusCode::kInvalidArgument);
    return config.status().message();
  };
  CHECK_THAT(message({.sparsity = 1.0, .round_interval = 8, .layer_config = ""}), Catch::Contains("below 1"));
  CHECK_THAT(message({.sparsity = -0.1, .round_interval = 8, .layer_config = ""}),
             Catch::Contains("at least 0"));
  CHECK_THAT(message({.sparsity = 0.995, .round_interval = 8, .layer_config = ""}),
             Catch::Contains("takes to none"));
  const ModelConfig sliced = SlicedConfig(Opt125m(), {}).value();
  CHECK_THAT(SlicedConfig(sliced, {}).status().message(), Catch::Contains("sliced already"));
}

std::string Widths(int layers, int in, int mid, int out, int last) {
  const auto list = [&](int width, int end) {
    std::string text = "[";
    for (int i = 0; i < layers; ++i)
      text += (i > 0 ? "," : "") + std::to_string(i + 1 < layers ? width : end);
    return text + "]";
  };
  return "{\"attention_input_widths\":" + list(in, in) + ",\"mlp_input_widths\":" + list(mid, mid) +
         ",\"output_widths\":" + list(out, last) + "}";
}

TEST_CASE("a layer config decides every width") {
  const TempDir dir;
  const auto config = [&](const std::string& text) {
    return SlicedConfig(Opt125m(),
                        {.sparsity = 0.9, .round_interval = 8, .layer_config = dir.Write("w.json", text)});
  };
  const auto good = config(Widths(12, 500, 450, 500, 768));
  REQUIRE(good.ok());
  CHECK(good->widths[3] == LayerWidths{500, 450, 500});
  CHECK(config("{\"slicing\":" + Widths(12, 500, 450, 500, 768) + "}").ok());
  for (const auto& [text, part] : std::initializer_list<std::pair<std::string, const char*>>{
           {Widths(11, 500, 450, 500, 768), "11 sliced layers"},
           {Widths(12, 500, 450, 400, 768), "is given 400"},
           {Widths(12, 500, 450, 500, 500), "the head reads"},
           {Widths(12, 500, 0, 500, 768), "'widths' is 0"},
           {Widths(12, 769, 450, 769, 768), "'widths' is 769"},
           {"{\"attention_input_widths\":[1],\"mlp_input_widths\":[1,2],\"output_widths\":[1]}", "as many"},
           {"{}", "attention_input_widths"},
           {"{", "w.json"}}) {
    INFO(text);
    REQUIRE_FALSE(config(text).ok());
    CHECK_THAT(config(text).status().message(), Catch::Contains(part));
  }
  CHECK(SlicedConfig(Opt125m(), {.sparsity = 0.2, .round_interval = 8, .layer_config = dir.path() + "/none"})
            .status()
            .code() == StatusCode::kNotFound);
}

}  // namespace
}  // namespace reprise::compress
