#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "models/config_loaders.h"
#include "models/formats/json_file.h"
#include "models/json_fields.h"

namespace reprise {
namespace {

struct KnownArchitecture {
  std::string_view class_name;  // config.json "architectures"
  std::string_view model_type;
  Architecture architecture;
};

constexpr std::array<KnownArchitecture, 4> kArchitectures = {{
    {"LlamaForCausalLM", "llama", Architecture::kLlama},
    {"MistralForCausalLM", "mistral", Architecture::kMistral},
    {"Qwen2ForCausalLM", "qwen2", Architecture::kQwen2},
    {"Qwen3ForCausalLM", "qwen3", Architecture::kQwen3},
}};
constexpr std::string_view kSupportedClasses =
    "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM";
constexpr std::string_view kSupportedModelTypes = "llama, mistral, qwen2, qwen3";

// The class decides; a file without one (a bare base config) is known by its model_type.
Result<Architecture> ReadArchitecture(const JsonFields& fields) {
  ASSIGN_OR_RETURN(const std::vector<std::string> classes, fields.Strings("architectures"));
  ASSIGN_OR_RETURN(const std::optional<std::string> model_type, fields.String("model_type"));
  for (const KnownArchitecture& known : kArchitectures) {
    if (!classes.empty() ? classes.front() == known.class_name : model_type == known.model_type) {
      return known.architecture;
    }
  }
  if (!classes.empty()) return fields.Unsupported("architectures", kSupportedClasses);
  return fields.Unsupported("model_type", kSupportedModelTypes);
}

Status ReadSizes(const JsonFields& fields, ModelConfig* config) {
  ASSIGN_OR_RETURN(config->vocab_size, fields.RequiredInt("vocab_size"));
  ASSIGN_OR_RETURN(config->hidden_size, fields.RequiredInt("hidden_size"));
  ASSIGN_OR_RETURN(config->num_layers, fields.RequiredInt("num_hidden_layers"));
  ASSIGN_OR_RETURN(config->intermediate_size, fields.RequiredInt("intermediate_size"));
  ASSIGN_OR_RETURN(config->max_position, fields.RequiredInt("max_position_embeddings"));
  ASSIGN_OR_RETURN(config->num_heads, fields.RequiredInt("num_attention_heads"));
  if (config->num_heads <= 0) return fields.Wrong("num_attention_heads", "a positive integer");
  // Only Llama's class derives these two when they are left out; the others have defaults of their own, which
  // no published model relies on.
  const bool is_llama = config->architecture == Architecture::kLlama;
  ASSIGN_OR_RETURN(const std::optional<int> num_kv_heads, fields.Int("num_key_value_heads"));
  if (!num_kv_heads && !is_llama) return fields.Wrong("num_key_value_heads", "an integer");
  config->num_kv_heads = num_kv_heads.value_or(config->num_heads);
  ASSIGN_OR_RETURN(const std::optional<int> head_dim, fields.Int("head_dim"));
  if (!head_dim && config->architecture == Architecture::kQwen3)
    return fields.Wrong("head_dim", "an integer");
  if (!head_dim && config->hidden_size % config->num_heads != 0) {
    return fields.Wrong("hidden_size", "a multiple of num_attention_heads, as there is no 'head_dim'");
  }
  config->head_dim = head_dim.value_or(config->hidden_size / config->num_heads);
  ASSIGN_OR_RETURN(const std::optional<double> epsilon, fields.Number("rms_norm_eps"));
  config->norm_epsilon = static_cast<float>(epsilon.value_or(1e-6));
  return OkStatus();
}

// The fields of "rope_scaling" (since Llama 2), or of "rope_parameters" (transformers 5), which holds theta
// too.
Status ReadRopeScaling(const JsonFields& fields, RopeConfig* rope) {
  ASSIGN_OR_RETURN(const std::optional<std::string> new_key, fields.String("rope_type"));
  ASSIGN_OR_RETURN(const std::optional<std::string> old_key, fields.String("type"));
  const std::string type = new_key.value_or(old_key.value_or("default"));
  if (type == "default") return OkStatus();
  if (type == "linear") {
    rope->scaling = RopeScaling::kLinear;
  } else if (type == "dynamic") {
    rope->scaling = RopeScaling::kDynamic;
  } else if (type == "llama3") {
    rope->scaling = RopeScaling::kLlama3;
  } else {
    return fields.Unsupported(new_key ? "rope_type" : "type", "default, linear, dynamic, llama3");
  }
  ASSIGN_OR_RETURN(const std::optional<double> factor, fields.Number("factor"));
  if (!factor) return fields.Wrong("factor", "a number");
  rope->factor = static_cast<float>(*factor);
  if (rope->scaling != RopeScaling::kLlama3) return OkStatus();
  ASSIGN_OR_RETURN(const std::optional<double> low, fields.Number("low_freq_factor"));
  ASSIGN_OR_RETURN(const std::optional<double> high, fields.Number("high_freq_factor"));
  if (!low) return fields.Wrong("low_freq_factor", "a number");
  if (!high) return fields.Wrong("high_freq_factor", "a number");
  rope->low_frequency_factor = static_cast<float>(*low);
  rope->high_frequency_factor = static_cast<float>(*high);
  ASSIGN_OR_RETURN(rope->original_max_position, fields.RequiredInt("original_max_position_embeddings"));
  return OkStatus();
}

Status RefusePartialRotary(const JsonFields& fields) {
  ASSIGN_OR_RETURN(const std::optional<double> partial, fields.Number("partial_rotary_factor"));
  return partial.value_or(1.0) == 1.0 ? OkStatus() : fields.Unsupported("partial_rotary_factor", "1");
}

Status ReadRope(const JsonFields& fields, ModelConfig* config) {
  RETURN_IF_ERROR(RefusePartialRotary(fields));
  ASSIGN_OR_RETURN(std::optional<double> theta, fields.Number("rope_theta"));
  ASSIGN_OR_RETURN(const auto scaling, fields.Object("rope_scaling"));
  ASSIGN_OR_RETURN(const auto parameters, fields.Object("rope_parameters"));
  if (scaling) RETURN_IF_ERROR(ReadRopeScaling(*scaling, &config->rope));
  if (parameters) {
    if (parameters->Has("full_attention") || parameters->Has("sliding_attention")) {
      return fields.Unsupported("rope_parameters", "one set for all layers");
    }
    RETURN_IF_ERROR(RefusePartialRotary(*parameters));
    RETURN_IF_ERROR(ReadRopeScaling(*parameters, &config->rope));
    ASSIGN_OR_RETURN(const std::optional<double> nested, parameters->Number("rope_theta"));
    if (nested) theta = nested;
  }
  config->rope.theta = static_cast<float>(theta.value_or(10000.0));
  return OkStatus();
}

Status ReadAttention(const JsonFields& fields, ModelConfig* config) {
  ASSIGN_OR_RETURN(const std::optional<bool> attention_bias, fields.Bool("attention_bias"));
  ASSIGN_OR_RETURN(const std::optional<bool> use_sliding_window, fields.Bool("use_sliding_window"));
  ASSIGN_OR_RETURN(const std::vector<std::string> layer_types, fields.Strings("layer_types"));
  const bool all_full = std::all_of(layer_types.begin(), layer_types.end(),
                                    [](const std::string& type) { return type == "full_attention"; });
  if (!all_full) return fields.Unsupported("layer_types", "full_attention for every layer");
  switch (config->architecture) {
    case Architecture::kMistral: {
      if (attention_bias.value_or(false)) return fields.Unsupported("attention_bias", "false for Mistral");
      ASSIGN_OR_RETURN(const std::optional<int> window, fields.Int("sliding_window"));
      if (window && *window <= 0) return fields.Wrong("sliding_window", "a positive integer or null");
      config->sliding_window = window.value_or(0);
      break;
    }
    case Architecture::kQwen2:  // its class has no switch: q, k, v are biased, o is not
      config->attention_bias = true;
      break;
    case Architecture::kQwen3:
      config->qk_norm = true;
      [[fallthrough]];
    case Architecture::kLlama:
      config->attention_bias = attention_bias.value_or(false);
      config->attention_output_bias = config->attention_bias;
      break;
  }
  return use_sliding_window.value_or(false) ? fields.Unsupported("use_sliding_window", "false") : OkStatus();
}

// What would change the output and that the decoder does not do.
Status RefuseUnsupported(const JsonFields& fields) {
  ASSIGN_OR_RETURN(const std::optional<std::string> activation, fields.String("hidden_act"));
  if (activation.value_or("silu") != "silu") return fields.Unsupported("hidden_act", "silu");
  ASSIGN_OR_RETURN(const std::optional<bool> mlp_bias, fields.Bool("mlp_bias"));
  if (mlp_bias.value_or(false)) return fields.Unsupported("mlp_bias", "false");
  if (fields.Has("quantization_config")) {
    return fields.Unsupported("quantization_config", "unquantised safetensors, or GGUF");
  }
  return OkStatus();
}

Status ReadTokens(const JsonFields& fields, ModelConfig* config) {
  ASSIGN_OR_RETURN(const std::optional<bool> tied, fields.Bool("tie_word_embeddings"));
  config->tie_embeddings = tied.value_or(false);
  ASSIGN_OR_RETURN(config->eos_token_ids, fields.Ints("eos_token_id"));
  ASSIGN_OR_RETURN(const std::optional<int> bos, fields.Int("bos_token_id"));
  config->bos_token_id = bos.value_or(-1);
  return OkStatus();
}

}  // namespace

Result<ModelConfig> ReadHuggingFaceConfig(const std::string& path) {
  ASSIGN_OR_RETURN(const nlohmann::json object, ReadJsonObject(path));
  const JsonFields fields(object, path);
  ASSIGN_OR_RETURN(const Architecture architecture, ReadArchitecture(fields));
  return ReadHuggingFaceFields(fields, architecture);
}

Result<Architecture> ReadModelType(const JsonFields& fields) {
  ASSIGN_OR_RETURN(const std::optional<std::string> model_type, fields.String("model_type"));
  for (const KnownArchitecture& known : kArchitectures) {
    if (model_type == known.model_type) return known.architecture;
  }
  return fields.Unsupported("model_type", kSupportedModelTypes);
}

Result<ModelConfig> ReadHuggingFaceFields(const JsonFields& fields, Architecture architecture) {
  ModelConfig config;
  config.architecture = architecture;
  RETURN_IF_ERROR(ReadSizes(fields, &config));
  RETURN_IF_ERROR(ReadRope(fields, &config));
  RETURN_IF_ERROR(ReadAttention(fields, &config));
  RETURN_IF_ERROR(RefuseUnsupported(fields));
  RETURN_IF_ERROR(ReadTokens(fields, &config));
  return config;
}

}  // namespace reprise
