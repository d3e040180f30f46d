#include "models/config.h"

#include <catch2/catch.hpp>
#include <functional>
#include <nlohmann/json.hpp>

#include "tests/unit/models/formats/gguf_builder.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise {
namespace {

using nlohmann::json;

ModelConfig Load(const std::string& name) {
  const auto config = LoadModelConfig("tests/data/models/" + name);
  INFO(config.status().ToString());
  REQUIRE(config.ok());
  return *config;
}

TEST_CASE("config.json: Llama 2, defaults derived") {
  const ModelConfig config = Load("llama2");
  CHECK(config.architecture == Architecture::kLlama);
  CHECK(config.vocab_size == 272);
  CHECK(config.hidden_size == 64);
  CHECK(config.num_layers == 2);
  CHECK(config.num_heads == 4);
  CHECK(config.num_kv_heads == 4);  // left out
  CHECK(config.head_dim == 16);     // left out
  CHECK(config.intermediate_size == 96);
  CHECK(config.max_position == 128);
  CHECK(config.norm_epsilon == 1e-5f);
  CHECK(config.rope.theta == 10000.0f);
  CHECK(config.rope.scaling == RopeScaling::kNone);
  CHECK_FALSE(config.tie_embeddings);
  CHECK_FALSE(config.attention_bias);
  CHECK_FALSE(config.gguf_permuted_qk);
  CHECK(config.sliding_window == 0);
  CHECK(config.eos_token_ids == std::vector<TokenId>{2});
  CHECK(config.bos_token_id == 1);
}

TEST_CASE("config.json: Llama 3 with rope_scaling and several eos ids") {
  const ModelConfig config = Load("llama3");
  CHECK(config.num_kv_heads == 2);
  CHECK(config.rope.theta == 500.0f);
  CHECK(config.rope.scaling == RopeScaling::kLlama3);
  CHECK(config.rope.factor == 8.0f);
  CHECK(config.rope.low_frequency_factor == 1.0f);
  CHECK(config.rope.high_frequency_factor == 4.0f);
  CHECK(config.rope.original_max_position == 32);
  CHECK(config.eos_token_ids == std::vector<TokenId>{2, 4});
}

TEST_CASE("config.json: the old 'type' key, and biases of all four projections") {
  const ModelConfig config = Load("llama_linear");
  CHECK(config.rope.scaling == RopeScaling::kLinear);
  CHECK(config.rope.factor == 4.0f);
  CHECK(config.attention_bias);
  CHECK(config.attention_output_bias);
}

TEST_CASE("config.json: Mistral, rope_parameters and sliding window") {
  const ModelConfig config = Load("mistral");
  CHECK(config.architecture == Architecture::kMistral);
  CHECK(config.rope.theta == 1000.0f);
  CHECK(config.sliding_window == 12);
}

TEST_CASE("config.json: SmolLM2 is a tied Llama") {
  const ModelConfig config = Load("smollm2");
  CHECK(config.architecture == Architecture::kLlama);
  CHECK(config.tie_embeddings);
  CHECK(config.num_heads == 3);
  CHECK(config.num_kv_heads == 1);
  CHECK(config.head_dim == 32);
  CHECK(config.rope.theta == 100000.0f);  // written as an integer
}

TEST_CASE("config.json: Qwen2 has biases by class, and its unused sliding window is none") {
  const ModelConfig config = Load("qwen2");
  CHECK(config.architecture == Architecture::kQwen2);
  CHECK(config.attention_bias);
  CHECK_FALSE(config.attention_output_bias);
  CHECK_FALSE(config.qk_norm);
  CHECK(config.sliding_window == 0);
}

TEST_CASE("config.json: Qwen3 has a head dimension of its own and norms of q and k") {
  const ModelConfig config = Load("qwen3");
  CHECK(config.architecture == Architecture::kQwen3);
  CHECK(config.head_dim == 32);
  CHECK(config.num_heads * config.head_dim != config.hidden_size);
  CHECK(config.qk_norm);
  CHECK_FALSE(config.attention_bias);
}

TEST_CASE("OPT") {
  const ModelConfig config = Load("opt");
  CHECK(config.architecture == Architecture::kOpt);
  CHECK(config.norm == NormKind::kLayer);
  CHECK(config.activation == Activation::kRelu);
  CHECK(config.intermediate_size == 96);
  CHECK(config.tie_embeddings);  // its class ties unless told otherwise
  CHECK(config.learned_positions);
  CHECK(config.rotary_dim == 0);
  CHECK(config.position_rows() == 130);
  CHECK((config.attention_bias && config.attention_output_bias && config.mlp_bias));
  CHECK_FALSE((config.head_bias || config.parallel_block || config.sliced()));
}

TEST_CASE("Phi-2") {
  const ModelConfig config = Load("phi");
  CHECK(config.architecture == Architecture::kPhi);
  CHECK(config.activation == Activation::kGeluTanh);
  CHECK(config.head_dim == 32);
  CHECK(config.rotary_dim == 8);
  CHECK((config.parallel_block && config.head_bias && config.mlp_bias));
  CHECK_FALSE((config.tie_embeddings || config.learned_positions));
}

TEST_CASE("LoadModelConfig finds config.json beside a .safetensors file") {
  CHECK(Load("qwen3/model.safetensors").architecture == Architecture::kQwen3);
}

TEST_CASE("GGUF metadata gives what config.json gives") {
  struct Pair {
    const char* gguf;
    const char* directory;
  };
  for (const Pair& pair : {Pair{"llama2-Q8_0.gguf", "llama2"}, Pair{"llama3-Q8_0.gguf", "llama3"},
                           Pair{"qwen2-Q8_0.gguf", "qwen2"}, Pair{"qwen3-Q8_0.gguf", "qwen3"}}) {
    INFO(pair.gguf);
    const ModelConfig gguf = Load(pair.gguf);
    const ModelConfig expected = Load(pair.directory);
    CHECK(gguf.architecture == expected.architecture);
    CHECK(gguf.vocab_size == expected.vocab_size);
    CHECK(gguf.hidden_size == expected.hidden_size);
    CHECK(gguf.num_layers == expected.num_layers);
    CHECK(gguf.num_heads == expected.num_heads);
    CHECK(gguf.num_kv_heads == expected.num_kv_heads);
    CHECK(gguf.head_dim == expected.head_dim);
    CHECK(gguf.intermediate_size == expected.intermediate_size);
    CHECK(gguf.max_position == expected.max_position);
    CHECK(gguf.norm_epsilon == expected.norm_epsilon);
    CHECK(gguf.rope.theta == expected.rope.theta);
    CHECK(gguf.tie_embeddings == expected.tie_embeddings);
    CHECK(gguf.attention_bias == expected.attention_bias);
    CHECK(gguf.attention_output_bias == expected.attention_output_bias);
    CHECK(gguf.qk_norm == expected.qk_norm);
    CHECK(gguf.bos_token_id == expected.bos_token_id);
    CHECK(gguf.eos_token_ids.front() == expected.eos_token_ids.front());
    CHECK(gguf.gguf_permuted_qk == (expected.architecture == Architecture::kLlama));
  }
}

TEST_CASE("GGUF: Llama 3's frequency scaling is in rope_freqs.weight") {
  const RopeConfig rope = Load("llama3-Q8_0.gguf").rope;
  CHECK(rope.scaling == RopeScaling::kNone);
  REQUIRE(rope.frequency_factors.size() == 8);
  CHECK(rope.frequency_factors.front() == Approx(1.0f));  // the fastest is left alone
  CHECK(rope.frequency_factors.back() == Approx(8.0f));   // the slowest is divided by `factor`
  CHECK(Load("llama2-Q8_0.gguf").rope.frequency_factors.empty());
}

// One change to a good config.json, and what it gives.
struct Edit {
  const char* patch;  // JSON merge patch: null removes a field
  StatusCode code;
  const char* fragment;
};

void CheckEdits(const std::string& model, const std::vector<Edit>& edits) {
  const json good = json::parse(ReadWholeFile("tests/data/models/" + model + "/config.json"));
  for (const Edit& edit : edits) {
    INFO(model << " with " << edit.patch);
    json changed = good;
    changed.merge_patch(json::parse(edit.patch));
    const TempDir dir;
    dir.Write("config.json", changed.dump());
    const Status status = LoadModelConfig(dir.path()).status();
    CHECK(status.code() == edit.code);
    CHECK_THAT(status.message(), Catch::Contains(edit.fragment));
  }
}

constexpr StatusCode kOk = StatusCode::kOk;
constexpr StatusCode kInvalid = StatusCode::kInvalidArgument;
constexpr StatusCode kUnsupported = StatusCode::kUnimplemented;

TEST_CASE("config.json: what would change the output is refused by name, never ignored") {
  CheckEdits(
      "llama2",
      {
          {R"({"architectures":["GPT2LMHeadModel"]})", kUnsupported,
           "'architectures' is '[\"GPT2LMHeadModel\"]'"},
          {R"({"architectures":null,"model_type":"gpt2"})", kUnsupported, "'model_type' is '\"gpt2\"'"},
          {R"({"architectures":null,"model_type":null})", kUnsupported, "'model_type' is missing"},
          {R"({"architectures":null})", kOk, ""},
          {R"({"hidden_act":"gelu"})", kUnsupported,
           "'hidden_act' is '\"gelu\"', which is not supported; supported: silu"},
          {R"({"mlp_bias":true})", kUnsupported, "'mlp_bias' is 'true'"},
          {R"({"attention_bias":true})", kOk, ""},
          {R"({"quantization_config":{"quant_method":"gptq"}})", kUnsupported, "'quantization_config'"},
          {R"({"partial_rotary_factor":0.5})", kUnsupported, "'partial_rotary_factor' is '0.5'"},
          {R"({"rope_scaling":{"type":"yarn","factor":4.0}})", kUnsupported,
           "'rope_scaling.type' is '\"yarn\"'"},
          {R"({"rope_scaling":{"rope_type":"longrope","factor":4.0}})", kUnsupported,
           "'rope_scaling.rope_type'"},
          {R"({"rope_parameters":{"rope_type":"yarn","factor":4.0}})", kUnsupported,
           "'rope_parameters.rope_type'"},
          {R"({"rope_parameters":{"partial_rotary_factor":0.5}})", kUnsupported,
           "'rope_parameters.partial_rotary_factor'"},
          {R"({"rope_parameters":{"full_attention":{"rope_theta":1.0}}})", kUnsupported,
           "one set for all layers"},
          {R"({"rope_scaling":{"type":"dynamic","factor":2.0}})", kOk, ""},
          {R"({"rope_scaling":{"rope_type":"default"}})", kOk, ""},
      });
  CheckEdits("mistral", {
                            {R"({"attention_bias":true})", kUnsupported, "'attention_bias' is 'true'"},
                            {R"({"sliding_window":null})", kOk, ""},
                            {R"({"num_key_value_heads":null})", kInvalid, "'num_key_value_heads' is missing"},
                            {R"({"sliding_window":0})", kInvalid, "'sliding_window' is '0'"},
                        });
  CheckEdits("qwen2",
             {
                 {R"({"use_sliding_window":true})", kUnsupported, "'use_sliding_window' is 'true'"},
                 {R"({"layer_types":["full_attention","sliding_attention"]})", kUnsupported, "'layer_types'"},
                 {R"({"layer_types":["full_attention","full_attention"]})", kOk, ""},
             });
  CheckEdits("qwen3", {{R"({"head_dim":null})", kInvalid, "'head_dim' is missing"}});
  CheckEdits("opt",
             {{R"({"do_layer_norm_before":false})", kUnsupported, "opt-350m"},
              {R"({"word_embed_proj_dim":32})", kUnsupported, "opt-350m"},
              {R"({"enable_bias":false})", kUnsupported, "'enable_bias'"},
              {R"({"layer_norm_elementwise_affine":false})", kUnsupported, "'layer_norm_elementwise_affine'"},
              {R"({"_remove_final_layer_norm":true})", kUnsupported, "'_remove_final_layer_norm'"},
              {R"({"activation_function":"gelu"})", kUnsupported, "supported: relu"},
              {R"({"ffn_dim":null})", kInvalid, "'ffn_dim' is missing"}});
  CheckEdits("phi", {{R"({"hidden_act":"silu"})", kUnsupported, "supported: gelu_new"},
                     {R"({"qk_layernorm":true})", kUnsupported, "'qk_layernorm'"},
                     {R"({"partial_rotary_factor":0})", kInvalid, "a number above 0"},
                     {R"({"partial_rotary_factor":1.5})", kInvalid, "a number above 0"},
                     {R"({"partial_rotary_factor":0.1})", kInvalid, "'rotary_dim' is 3; it must be even"}});
}

TEST_CASE("config.json of a sliced model: widths are checked against each other") {
  const std::string sliced =
      R"("architectures":["RepriseSliced"],"base_architectures":["LlamaForCausalLM"],"tie_word_embeddings":true)";
  const auto edit = [&](const std::string& slicing) {
    return "{" + sliced + ",\"slicing\":" + slicing + "}";
  };
  const auto widths = [&](const char* in, const char* mid, const char* out, int norm_dim) {
    return edit("{\"norm_dim\":" + std::to_string(norm_dim) + ",\"attention_input_widths\":" + in +
                ",\"mlp_input_widths\":" + mid + ",\"output_widths\":" + out + "}");
  };
  const std::string patches[] = {widths("[48,40]", "[44,48]", "[40,64]", 64),
                                 widths("[48,40]", "[44,48]", "[48,64]", 64),
                                 widths("[48,40]", "[44,48]", "[40,48]", 64),
                                 widths("[48,65]", "[44,48]", "[65,64]", 64),
                                 widths("[48,40]", "[44]", "[40,64]", 64),
                                 widths("[48]", "[44]", "[64]", 64),
                                 widths("[48,40]", "[44,0]", "[40,64]", 64),
                                 widths("[48,40]", "[44,48]", "[40,64]", 0),
                                 edit("null"),
                                 edit(R"({"norm_dim":64,"attention_input_widths":"48"})")};
  CheckEdits("llama2", {{patches[0].c_str(), kOk, ""},
                        {patches[1].c_str(), kInvalid, "layer 1 reads widths 40 and 48, but is given 48"},
                        {patches[2].c_str(), kInvalid, "ends in width 48"},
                        {patches[3].c_str(), kInvalid, "'widths' is 65"},
                        {patches[4].c_str(), kInvalid, "as many widths"},
                        {patches[5].c_str(), kInvalid, "1 sliced layers, but the model has 2"},
                        {patches[6].c_str(), kInvalid, "'widths' is 0"},
                        {patches[7].c_str(), kInvalid, "'norm_dim' is 0"},
                        {patches[8].c_str(), kInvalid, "'slicing' is missing"},
                        {patches[9].c_str(), kInvalid, "expected an integer or a list of integers"},
                        {R"({"architectures":["RepriseSliced"]})", kInvalid, "'slicing' is missing"},
                        {R"({"architectures":["RepriseSliced"],"base_architectures":["GPT2LMHeadModel"]})",
                         kUnsupported, "'base_architectures'"}});
}

TEST_CASE("config.json: missing and wrong fields are named") {
  CheckEdits(
      "llama2",
      {
          {R"({"vocab_size":null})", kInvalid, "'vocab_size' is missing"},
          {R"({"vocab_size":"272"})", kInvalid, "'vocab_size' is '\"272\"'; expected an integer"},
          {R"({"vocab_size":0})", kInvalid, "'vocab_size' is 0; allowed are 1 to"},
          {R"({"vocab_size":99999999999})", kInvalid, "'vocab_size' is '99999999999'"},
          {R"({"vocab_size":100000000})", kInvalid, "'vocab_size' is 100000000; allowed"},
          {R"({"hidden_size":-64})", kInvalid, "'hidden_size'"},
          {R"({"hidden_size":66})", kInvalid, "a multiple of num_attention_heads"},
          {R"({"hidden_size":64.5})", kInvalid, "'hidden_size' is '64.5'"},
          {R"({"num_hidden_layers":0})", kInvalid, "'num_layers' is 0"},
          {R"({"num_attention_heads":0})", kInvalid, "'num_attention_heads' is '0'"},
          {R"({"num_key_value_heads":3})", kInvalid, "does not divide the 4 query heads"},
          {R"({"num_key_value_heads":8})", kInvalid, "'num_kv_heads' is 8; allowed are 1 to 4"},
          {R"({"head_dim":15})", kInvalid, "must be even"},
          {R"({"head_dim":0})", kInvalid, "'head_dim' is 0"},
          {R"({"intermediate_size":null})", kInvalid, "'intermediate_size' is missing"},
          {R"({"max_position_embeddings":0})", kInvalid, "'max_position' is 0"},
          {R"({"rms_norm_eps":0})", kInvalid, "'norm_epsilon' is"},
          {R"({"rms_norm_eps":"small"})", kInvalid, "'rms_norm_eps' is '\"small\"'; expected a number"},
          {R"({"rope_theta":-1})", kInvalid, "'rope.theta'"},
          {R"({"rope_theta":1e300})", kInvalid, "'rope.theta'"},
          {R"({"rope_scaling":[]})", kInvalid, "'rope_scaling' is '[]'; expected an object"},
          {R"({"rope_scaling":{"type":"linear"}})", kInvalid, "'rope_scaling.factor' is missing"},
          {R"({"rope_scaling":{"type":"linear","factor":0}})", kInvalid, "'rope.factor'"},
          {R"({"rope_scaling":{"type":7}})", kInvalid, "'rope_scaling.type' is '7'; expected a string"},
          {R"({"tie_word_embeddings":"yes"})", kInvalid, "expected true or false"},
          {R"({"eos_token_id":272})", kInvalid, "'eos_token_id' is 272; allowed are 0 to 271"},
          {R"({"eos_token_id":[2,"x"]})", kInvalid, "'eos_token_id' is '[2,\"x\"]'"},
          {R"({"eos_token_id":null})", kOk, ""},
          {R"({"bos_token_id":-2})", kInvalid, "'bos_token_id' is -2"},
          {R"({"architectures":"LlamaForCausalLM"})", kInvalid, "'architectures'"},
      });
  CheckEdits("llama3",
             {
                 {R"({"rope_scaling":{"low_freq_factor":null}})", kInvalid,
                  "'rope_scaling.low_freq_factor' is missing"},
                 {R"({"rope_scaling":{"low_freq_factor":4.0}})", kInvalid, "must be below"},
                 {R"({"rope_scaling":{"original_max_position_embeddings":0}})", kInvalid,
                  "'rope.original_max_position' is 0"},
                 {R"({"rope_scaling":{"original_max_position_embeddings":null}})", kInvalid, "is missing"},
             });
}

TEST_CASE("config.json: the file itself") {
  const TempDir dir;
  CHECK(LoadModelConfig(dir.path()).status().code() == StatusCode::kNotFound);
  dir.Write("config.json", "{\"vocab_size\": 1,\n oops}");
  CHECK_THAT(LoadModelConfig(dir.path()).status().ToString(),
             Catch::StartsWith("DATA_LOSS") && Catch::Contains("line 2"));
  dir.Write("config.json", "[]");
  CHECK_THAT(LoadModelConfig(dir.path()).status().message(), Catch::Contains("expected an object"));
  dir.Write("config.json", "{\"a\":1,\"a\":2}");
  CHECK_THAT(LoadModelConfig(dir.path()).status().message(), Catch::Contains("key 'a' twice"));
}

// The metadata of a small model, with one key replaced or left out.
std::string GgufModel(const std::string& changed_key, std::uint32_t type, const std::string& value) {
  GgufBuilder builder;
  const auto add_int = [&](const std::string& key, std::uint32_t number) {
    if (key != changed_key) builder.Add(key, kU32, Bytes(number));
  };
  if (changed_key != "general.architecture")
    builder.Add("general.architecture", kString, GgufString("llama"));
  add_int("llama.block_count", 2);
  add_int("llama.context_length", 128);
  add_int("llama.embedding_length", 64);
  add_int("llama.feed_forward_length", 96);
  add_int("llama.attention.head_count", 4);
  add_int("llama.attention.head_count_kv", 2);
  add_int("llama.vocab_size", 272);
  if (changed_key != "llama.attention.layer_norm_rms_epsilon") {
    builder.Add("llama.attention.layer_norm_rms_epsilon", kF32, Bytes(1e-5f));
  }
  if (!value.empty()) builder.Add(changed_key, type, value);
  return builder.Build();
}

Result<ModelConfig> LoadGguf(const std::string& changed_key, std::uint32_t type, const std::string& value) {
  const TempDir dir;
  return LoadModelConfig(dir.Write("model.gguf", GgufModel(changed_key, type, value)));
}

std::string U32(std::uint32_t value) {
  return Bytes(value);
}

TEST_CASE("GGUF: missing, wrong and unsupported keys are named") {
  struct Case {
    const char* key;
    std::uint32_t type;
    std::string value;  // empty: left out
    StatusCode code;
    const char* fragment;
  };
  const Case cases[] = {
      {"general.architecture", kString, "", kInvalid, "'general.architecture' is missing"},
      {"general.architecture", kU32, U32(1), kInvalid, "'general.architecture' is missing or not a string"},
      {"general.architecture", kString, GgufString("gpt2"), kUnsupported,
       "is 'gpt2', which is not supported"},
      {"llama.block_count", kU32, "", kInvalid, "'llama.block_count' is missing"},
      {"llama.block_count", kString, GgufString("2"), kInvalid, "it is of type string"},
      {"llama.block_count", kU32, U32(4000000000u), kInvalid, "it is 4000000000"},
      {"llama.context_length", kU32, "", kInvalid, "'llama.context_length' is missing"},
      {"llama.embedding_length", kU32, "", kInvalid, "'llama.embedding_length' is missing"},
      {"llama.feed_forward_length", kU32, "", kInvalid, "'llama.feed_forward_length' is missing"},
      {"llama.attention.head_count", kU32, U32(0), kInvalid, "must be positive"},
      {"llama.attention.head_count", kArray, U32(kU32) + Bytes<std::uint64_t>(1) + U32(4), kInvalid,
       "it is of type array of integers"},
      {"llama.attention.head_count_kv", kU32, "", kOk, ""},
      {"llama.attention.layer_norm_rms_epsilon", kF32, "", kInvalid, "layer_norm_rms_epsilon' is missing"},
      {"llama.attention.value_length", kU32, U32(8), kUnsupported, "value_length' is '8'"},
      {"llama.attention.key_length", kU32, U32(32), kOk, ""},
      {"llama.rope.dimension_count", kU32, U32(8), kUnsupported, "dimension_count' is '8'"},
      {"llama.rope.freq_base", kF32, Bytes(0.0f), kInvalid, "'rope.theta'"},
      {"llama.rope.freq_base", kString, GgufString("x"), kInvalid, "must be a number"},
      {"llama.rope.scaling.type", kString, GgufString("yarn"), kUnsupported, "is 'yarn'"},
      {"llama.expert_count", kU32, U32(8), kUnsupported, "'llama.expert_count' is '8'"},
      {"llama.vocab_size", kU32, "", kInvalid, "'llama.vocab_size' is missing"},
      {"tokenizer.ggml.eos_token_id", kU32, U32(272), kInvalid, "'eos_token_id' is 272"},
  };
  for (const Case& c : cases) {
    INFO(c.key << ": " << c.fragment);
    const Status status = LoadGguf(c.key, c.type, c.value).status();
    CHECK(status.code() == c.code);
    CHECK_THAT(status.message(), Catch::Contains(c.fragment));
  }
}

TEST_CASE("GGUF: Qwen2 has biases whether or not the file does, so that a lost one is missed") {
  const TempDir dir;
  GgufBuilder builder;
  builder.Add("general.architecture", kString, GgufString("qwen2"));
  for (const char* key : {"block_count", "context_length", "embedding_length", "feed_forward_length",
                          "attention.head_count", "vocab_size"}) {
    builder.Add(std::string("qwen2.") + key, kU32, U32(key == std::string("embedding_length") ? 64 : 2));
  }
  builder.Add("qwen2.attention.layer_norm_rms_epsilon", kF32, Bytes(1e-6f));
  const auto config = LoadModelConfig(dir.Write("model.gguf", builder.Build()));
  INFO(config.status().ToString());
  REQUIRE(config.ok());
  CHECK(config->attention_bias);
}

TEST_CASE("GGUF: a scaling factor without a type is linear") {
  const auto config = LoadGguf("llama.rope.scaling.factor", kF32, Bytes(4.0f));
  REQUIRE(config.ok());
  CHECK(config->rope.scaling == RopeScaling::kLinear);
  CHECK(config->rope.factor == 4.0f);
}

TEST_CASE("generation_config.json gives sampling defaults; what it leaves out stays unset") {
  const auto defaults = LoadGenerationDefaults("tests/data/models/llama3");
  REQUIRE(defaults.ok());
  CHECK(defaults->eos_token_ids == std::vector<TokenId>{2, 4});
  CHECK(defaults->temperature == 0.7f);
  CHECK(defaults->top_p == 0.9f);
  CHECK(defaults->top_k < 0);
  CHECK(defaults->min_p < 0);
  CHECK(defaults->repetition_penalty < 0);
  CHECK(defaults->max_new_tokens < 0);
  const auto none = LoadGenerationDefaults("tests/data/models/llama2-Q8_0.gguf");
  REQUIRE(none.ok());
  CHECK(none->temperature < 0);
  CHECK(none->eos_token_ids.empty());
}

TEST_CASE("generation_config.json: values out of range are named") {
  const TempDir dir;
  const auto load = [&dir](const char* text) {
    dir.Write("generation_config.json", text);
    return LoadGenerationDefaults(dir.path());
  };
  const auto all =
      load(R"({"eos_token_id":7,"top_k":-1,"min_p":0.1,"repetition_penalty":1.1,"max_new_tokens":5})");
  REQUIRE(all.ok());
  CHECK(all->eos_token_ids == std::vector<TokenId>{7});
  CHECK(all->top_k == 0);
  CHECK(all->min_p == 0.1f);
  CHECK(all->repetition_penalty == 1.1f);
  CHECK(all->max_new_tokens == 5);
  CHECK_THAT(load(R"({"temperature":-0.1})").status().message(), Catch::Contains("'temperature' is '-0.1'"));
  CHECK_THAT(load(R"({"top_p":1.5})").status().message(), Catch::Contains("'top_p'"));
  CHECK_THAT(load(R"({"min_p":2})").status().message(), Catch::Contains("'min_p'"));
  CHECK_THAT(load(R"({"top_k":-2})").status().message(), Catch::Contains("'top_k'"));
  CHECK_THAT(load(R"({"top_k":1.5})").status().message(), Catch::Contains("'top_k'"));
  CHECK_THAT(load(R"({"repetition_penalty":0})").status().message(), Catch::Contains("'repetition_penalty'"));
  CHECK_THAT(load(R"({"max_new_tokens":0})").status().message(), Catch::Contains("'max_new_tokens'"));
  CHECK_THAT(load("{").status().ToString(), Catch::StartsWith("DATA_LOSS"));
}

}  // namespace
}  // namespace reprise
