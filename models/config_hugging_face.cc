#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "models/config_loaders.h"
#include "models/formats/json_file.h"
#include "models/json_fields.h"
#include "models/sliced_config.h"

namespace reprise {
namespace {

struct KnownArchitecture {
  std::string_view class_name;  // config.json "architectures"
  std::string_view model_type;
  Architecture architecture;
};

constexpr std::array<KnownArchitecture, 6> kArchitectures = {{
    {"LlamaForCausalLM", "llama", Architecture::kLlama},
    {"MistralForCausalLM", "mistral", Architecture::kMistral},
    {"Qwen2ForCausalLM", "qwen2", Architecture::kQwen2},
    {"Qwen3ForCausalLM", "qwen3", Architecture::kQwen3},
    {"OPTForCausalLM", "opt", Architecture::kOpt},
    {"PhiForCausalLM", "phi", Architecture::kPhi},
}};
constexpr std::string_view kSupportedClasses =
    "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, OPTForCausalLM, "
    "PhiForCausalLM";
constexpr std::string_view kSupportedModelTypes = "llama, mistral, qwen2, qwen3, opt, phi";

Result<bool> IsSliced(const JsonFields& fields) {
  ASSIGN_OR_RETURN(const std::vector<std::string> classes, fields.Strings("architectures"));
  return !classes.empty() && classes.front() == kSlicedClass;
}

// The class decides; a file without one (a bare base config) is known by its model_type. A sliced model names
// the class it was made from.
Result<Architecture> ReadArchitecture(const JsonFields& fields) {
  ASSIGN_OR_RETURN(const bool sliced, IsSliced(fields));
  const char* key = sliced ? "base_architectures" : "architectures";
  ASSIGN_OR_RETURN(const std::vector<std::string> classes, fields.Strings(key));
  ASSIGN_OR_RETURN(const std::optional<std::string> model_type, fields.String("model_type"));
  for (const KnownArchitecture& known : kArchitectures) {
    if (!classes.empty() ? classes.front() == known.class_name : model_type == known.model_type) {
      return known.architecture;
    }
  }
  if (!classes.empty()) return fields.Unsupported(key, kSupportedClasses);
  return fields.Unsupported("model_type", kSupportedModelTypes);
}

Status ReadSizes(const JsonFields& fields, ModelConfig* config) {
  ASSIGN_OR_RETURN(config->vocab_size, fields.RequiredInt("vocab_size"));
  ASSIGN_OR_RETURN(config->hidden_size, fields.RequiredInt("hidden_size"));
  ASSIGN_OR_RETURN(config->num_layers, fields.RequiredInt("num_hidden_layers"));
  const bool is_opt = config->architecture == Architecture::kOpt;
  ASSIGN_OR_RETURN(config->intermediate_size, fields.RequiredInt(is_opt ? "ffn_dim" : "intermediate_size"));
  ASSIGN_OR_RETURN(config->max_position, fields.RequiredInt("max_position_embeddings"));
  ASSIGN_OR_RETURN(config->num_heads, fields.RequiredInt("num_attention_heads"));
  if (config->num_heads <= 0) return fields.Wrong("num_attention_heads", "a positive integer");
  // These classes derive the next two when they are left out; the others have defaults of their own, which no
  // published model relies on.
  const bool derives =
      is_opt || config->architecture == Architecture::kLlama || config->architecture == Architecture::kPhi;
  ASSIGN_OR_RETURN(const std::optional<int> num_kv_heads, fields.Int("num_key_value_heads"));
  if (!num_kv_heads && !derives) return fields.Wrong("num_key_value_heads", "an integer");
  config->num_kv_heads = num_kv_heads.value_or(config->num_heads);
  ASSIGN_OR_RETURN(const std::optional<int> head_dim, fields.Int("head_dim"));
  if (!head_dim && config->architecture == Architecture::kQwen3)
    return fields.Wrong("head_dim", "an integer");
  if (!head_dim && config->hidden_size % config->num_heads != 0) {
    return fields.Wrong("hidden_size", "a multiple of num_attention_heads, as there is no 'head_dim'");
  }
  config->head_dim = head_dim.value_or(config->hidden_size / config->num_heads);
  const bool is_phi = config->architecture == Architecture::kPhi;
  ASSIGN_OR_RETURN(const std::optional<double> epsilon,
                   fields.Number(is_phi ? "layer_norm_eps" : "rms_norm_eps"));
  // OPT's class leaves it to LayerNorm's default.
  config->norm_epsilon = is_opt ? 1e-5f : static_cast<float>(epsilon.value_or(is_phi ? 1e-5 : 1e-6));
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

// The share of a head's dimensions that rotates.
Status ReadRotaryDim(const JsonFields& fields, ModelConfig* config) {
  ASSIGN_OR_RETURN(const std::optional<double> partial, fields.Number("partial_rotary_factor"));
  if (!partial) return OkStatus();
  if (config->architecture != Architecture::kPhi) {
    return *partial == 1.0 ? OkStatus() : fields.Unsupported("partial_rotary_factor", "1");
  }
  if (!(*partial > 0.0 && *partial <= 1.0)) {
    return fields.Wrong("partial_rotary_factor", "a number above 0, up to 1");
  }
  config->rotary_dim = static_cast<int>(config->head_dim * *partial);
  return OkStatus();
}

Status ReadRope(const JsonFields& fields, ModelConfig* config) {
  if (config->architecture == Architecture::kOpt) {
    config->learned_positions = true;
    return OkStatus();
  }
  // Only Phi's class turns less than the whole head, half of it unless told otherwise.
  config->rotary_dim = config->architecture == Architecture::kPhi ? config->head_dim / 2 : config->head_dim;
  RETURN_IF_ERROR(ReadRotaryDim(fields, config));
  ASSIGN_OR_RETURN(std::optional<double> theta, fields.Number("rope_theta"));
  ASSIGN_OR_RETURN(const auto scaling, fields.Object("rope_scaling"));
  ASSIGN_OR_RETURN(const auto parameters, fields.Object("rope_parameters"));
  if (scaling) RETURN_IF_ERROR(ReadRopeScaling(*scaling, &config->rope));
  if (parameters) {
    if (parameters->Has("full_attention") || parameters->Has("sliding_attention")) {
      return fields.Unsupported("rope_parameters", "one set for all layers");
    }
    RETURN_IF_ERROR(ReadRotaryDim(*parameters, config));
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
    case Architecture::kOpt:
    case Architecture::kPhi:
      config->attention_bias = config->attention_output_bias = config->mlp_bias = true;
      break;
  }
  return use_sliding_window.value_or(false) ? fields.Unsupported("use_sliding_window", "false") : OkStatus();
}

// A field that is absent or has the one value that is supported.
template <typename T>
Status RequireValue(const JsonFields& fields, const char* name, const Result<std::optional<T>>& value,
                    const T& supported, std::string_view text) {
  RETURN_IF_ERROR(value.status());
  return value->value_or(supported) == supported ? OkStatus() : fields.Unsupported(name, text);
}

// opt-350m is the one model of its family that normalises after its blocks and projects its embedding.
Status ReadOpt(const JsonFields& fields, ModelConfig* config) {
  config->norm = NormKind::kLayer;
  config->activation = Activation::kRelu;
  const int width = config->hidden_size;
  RETURN_IF_ERROR(RequireValue<bool>(fields, "do_layer_norm_before", fields.Bool("do_layer_norm_before"),
                                     true, "true (opt-350m differs)"));
  RETURN_IF_ERROR(RequireValue<int>(fields, "word_embed_proj_dim", fields.Int("word_embed_proj_dim"), width,
                                    "hidden_size (opt-350m differs)"));
  RETURN_IF_ERROR(RequireValue<bool>(fields, "enable_bias", fields.Bool("enable_bias"), true, "true"));
  RETURN_IF_ERROR(RequireValue<bool>(fields, "layer_norm_elementwise_affine",
                                     fields.Bool("layer_norm_elementwise_affine"), true, "true"));
  RETURN_IF_ERROR(RequireValue<bool>(fields, "_remove_final_layer_norm",
                                     fields.Bool("_remove_final_layer_norm"), false, "false"));
  return RequireValue<std::string>(fields, "activation_function", fields.String("activation_function"),
                                   "relu", "relu");
}

Status ReadPhi(const JsonFields& fields, ModelConfig* config) {
  config->norm = NormKind::kLayer;
  config->activation = Activation::kGeluTanh;
  config->parallel_block = true;
  config->head_bias = true;
  RETURN_IF_ERROR(RequireValue<bool>(fields, "qk_layernorm", fields.Bool("qk_layernorm"), false, "false"));
  return RequireValue<std::string>(fields, "hidden_act", fields.String("hidden_act"), "gelu_new", "gelu_new");
}

// Norm, activation and the order of a layer's parts; what would change the output and that the decoder does
// not do is refused.
Status ReadBlock(const JsonFields& fields, ModelConfig* config) {
  if (config->architecture == Architecture::kOpt) {
    RETURN_IF_ERROR(ReadOpt(fields, config));
  } else if (config->architecture == Architecture::kPhi) {
    RETURN_IF_ERROR(ReadPhi(fields, config));
  } else {
    RETURN_IF_ERROR(
        RequireValue<std::string>(fields, "hidden_act", fields.String("hidden_act"), "silu", "silu"));
  }
  ASSIGN_OR_RETURN(const std::optional<bool> mlp_bias, fields.Bool("mlp_bias"));
  if (mlp_bias.value_or(false)) return fields.Unsupported("mlp_bias", "false");
  if (fields.Has("quantization_config")) {
    return fields.Unsupported("quantization_config", "unquantised safetensors, or GGUF");
  }
  return OkStatus();
}

Status ReadTokens(const JsonFields& fields, ModelConfig* config) {
  ASSIGN_OR_RETURN(const std::optional<bool> tied, fields.Bool("tie_word_embeddings"));
  config->tie_embeddings = tied.value_or(config->architecture == Architecture::kOpt);
  ASSIGN_OR_RETURN(config->eos_token_ids, fields.Ints("eos_token_id"));
  ASSIGN_OR_RETURN(const std::optional<int> bos, fields.Int("bos_token_id"));
  config->bos_token_id = bos.value_or(-1);
  return OkStatus();
}

Status ReadSlicing(const JsonFields& fields, ModelConfig* config) {
  ASSIGN_OR_RETURN(const auto slicing, fields.Object("slicing"));
  if (!slicing) return fields.Wrong("slicing", "an object with the widths of every layer");
  ASSIGN_OR_RETURN(config->norm_dim, slicing->RequiredInt("norm_dim"));
  ASSIGN_OR_RETURN(config->widths, ReadLayerWidths(*slicing));
  ASSIGN_OR_RETURN(const std::vector<double> factors, slicing->Numbers("rope_frequency_factors"));
  config->rope.frequency_factors.assign(factors.begin(), factors.end());
  config->tie_embeddings = false;
  config->head_bias = config->norm == NormKind::kLayer;  // from the offset of the fused final norm
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
  RETURN_IF_ERROR(ReadBlock(fields, &config));
  RETURN_IF_ERROR(ReadTokens(fields, &config));
  ASSIGN_OR_RETURN(const bool sliced, IsSliced(fields));
  if (sliced) RETURN_IF_ERROR(ReadSlicing(fields, &config));
  return config;
}

}  // namespace reprise
