#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "models/config_loaders.h"
#include "models/formats/quoted.h"
#include "models/tensor_names.h"

namespace reprise {
namespace {

// Typed access to metadata; keys of the architecture are given without its prefix.
class Metadata {
 public:
  Metadata(const GgufFile& file, std::string architecture)
      : file_(file), prefix_(std::move(architecture) + ".") {}

  Result<std::optional<int>> Int(const std::string& key) const { return AnyInt(prefix_ + key); }
  Result<int> RequiredInt(const std::string& key) const {
    ASSIGN_OR_RETURN(const std::optional<int> value, Int(key));
    if (!value) return Missing(key);
    return *value;
  }
  Result<std::optional<int>> AnyInt(const std::string& key) const {
    const GgufValue* value = file_.FindMetadata(key);
    if (value == nullptr) return std::optional<int>();
    const auto number = value->AsInt();
    if (!number || *number < std::numeric_limits<int>::min() || *number > std::numeric_limits<int>::max()) {
      return InvalidArgument(Key(key) + " must be an integer of 32 bits; it is " + Describe(*value), key);
    }
    return std::optional<int>(static_cast<int>(*number));
  }
  Result<std::optional<double>> Number(const std::string& key) const {
    const GgufValue* value = file_.FindMetadata(prefix_ + key);
    if (value == nullptr) return std::optional<double>();
    const auto number = value->AsDouble();
    if (!number) return InvalidArgument(Key(prefix_ + key) + " must be a number; it is " + Describe(*value));
    return number;
  }
  // The value's text, or empty when absent or of another type.
  std::string String(const std::string& key) const {
    const GgufValue* value = file_.FindMetadata(prefix_ + key);
    const std::string* text = value != nullptr ? value->AsString() : nullptr;
    return text != nullptr ? *text : std::string();
  }

  Status Missing(const std::string& key) const {
    return InvalidArgument(Key(prefix_ + key) + " is missing", prefix_ + key);
  }
  Status Unsupported(const std::string& key, const std::string& value, const std::string& supported) const {
    return Unimplemented(
        Key(prefix_ + key) + " is " + Quoted(value) + ", which is not supported; supported: " + supported,
        prefix_ + key);
  }

 private:
  static std::string Key(const std::string& key) { return "metadata key " + Quoted(key); }
  static std::string Describe(const GgufValue& value) {
    if (const auto number = value.AsInt()) return std::to_string(*number);
    return "of type " + value.TypeName();
  }

  const GgufFile& file_;
  std::string prefix_;
};

Status ReadSizes(const Metadata& metadata, ModelConfig* config) {
  ASSIGN_OR_RETURN(config->num_layers, metadata.RequiredInt("block_count"));
  ASSIGN_OR_RETURN(config->max_position, metadata.RequiredInt("context_length"));
  ASSIGN_OR_RETURN(config->hidden_size, metadata.RequiredInt("embedding_length"));
  ASSIGN_OR_RETURN(config->intermediate_size, metadata.RequiredInt("feed_forward_length"));
  ASSIGN_OR_RETURN(config->num_heads, metadata.RequiredInt("attention.head_count"));
  if (config->num_heads <= 0) {
    return InvalidArgument("metadata key 'attention.head_count' must be positive");
  }
  ASSIGN_OR_RETURN(const std::optional<int> kv_heads, metadata.Int("attention.head_count_kv"));
  config->num_kv_heads = kv_heads.value_or(config->num_heads);
  ASSIGN_OR_RETURN(const std::optional<int> key_length, metadata.Int("attention.key_length"));
  config->head_dim = key_length.value_or(config->hidden_size / config->num_heads);
  const bool partial = config->architecture == Architecture::kPhi;
  for (const char* key : {"attention.value_length", "rope.dimension_count"}) {
    ASSIGN_OR_RETURN(const std::optional<int> length, metadata.Int(key));
    if (partial && key == std::string_view("rope.dimension_count")) {
      config->rotary_dim = length.value_or(config->head_dim);
    } else if (length.value_or(config->head_dim) != config->head_dim) {
      return metadata.Unsupported(key, std::to_string(*length),
                                  "the head dimension, " + std::to_string(config->head_dim));
    }
  }
  if (!partial && !config->learned_positions) config->rotary_dim = config->head_dim;
  const char* epsilon_key =
      config->norm == NormKind::kLayer ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
  ASSIGN_OR_RETURN(const std::optional<double> epsilon, metadata.Number(epsilon_key));
  if (!epsilon) return metadata.Missing(epsilon_key);
  config->norm_epsilon = static_cast<float>(*epsilon);
  ASSIGN_OR_RETURN(const std::optional<int> window, metadata.Int("attention.sliding_window"));
  config->sliding_window = window.value_or(0);
  return OkStatus();
}

// Llama 3's frequency scaling, worked out by the converter: one divisor a frequency.
Status ReadFrequencyFactors(const GgufFile& file, ModelConfig* config) {
  constexpr std::string_view kName = "rope_freqs.weight";
  const TensorInfo* tensor = file.Find(kName);
  if (tensor == nullptr) return OkStatus();
  const std::int64_t expected[] = {config->rotary_dim / 2};
  RETURN_IF_ERROR(CheckShape(*tensor, expected));
  if (tensor->type != WeightType::kF32) return DataLoss("tensor 'rope_freqs.weight' must be of type F32");
  std::vector<float>& factors = config->rope.frequency_factors;
  factors.resize(static_cast<std::size_t>(expected[0]));
  std::memcpy(factors.data(), tensor->data, tensor->bytes);
  const bool valid = std::all_of(factors.begin(), factors.end(),
                                 [](float factor) { return std::isfinite(factor) && factor > 0; });
  return valid ? OkStatus() : DataLoss("tensor 'rope_freqs.weight' has a factor that is not positive");
}

Status ReadRope(const GgufFile& file, const Metadata& metadata, ModelConfig* config) {
  ASSIGN_OR_RETURN(const std::optional<double> theta, metadata.Number("rope.freq_base"));
  config->rope.theta = static_cast<float>(theta.value_or(10000.0));
  ASSIGN_OR_RETURN(std::optional<double> factor, metadata.Number("rope.scaling.factor"));
  ASSIGN_OR_RETURN(const std::optional<double> old_factor, metadata.Number("rope.scale_linear"));
  if (!factor) factor = old_factor;
  const std::string type = metadata.String("rope.scaling.type");
  if (type != "" && type != "none" && type != "linear") {
    return metadata.Unsupported("rope.scaling.type", type, "none, linear");
  }
  // As in llama.cpp, a factor without a type is linear, and a factor of 0 is none.
  if (type != "none" && factor.value_or(0.0) != 0.0) {
    config->rope.scaling = RopeScaling::kLinear;
    config->rope.factor = static_cast<float>(*factor);
  }
  for (const char* name : {"rope_factors_long.weight", "rope_factors_short.weight"}) {
    if (file.Find(name) != nullptr) {
      return Unimplemented("tensor '" + std::string(name) + "': longrope scaling is not supported");
    }
  }
  return ReadFrequencyFactors(file, config);
}

bool HasTensor(const GgufFile& file, TensorRole role) {
  const std::string name = TensorName(file, role, 0);
  return file.Find(name) != nullptr || !file.UnsupportedType(name).empty();
}

// GGUF says by a tensor's presence what config.json says by a field.
Status ReadFeatures(const GgufFile& file, const Metadata& metadata, ModelConfig* config) {
  ASSIGN_OR_RETURN(const std::optional<int> experts, metadata.Int("expert_count"));
  if (experts.value_or(0) != 0) return metadata.Unsupported("expert_count", std::to_string(*experts), "0");
  if (file.Find("blk.0.ffn_gate.bias") != nullptr) {
    return Unimplemented("tensor 'blk.0.ffn_gate.bias': biases of a gated MLP are not supported");
  }
  if (file.Find("blk.0.attn_qkv.weight") != nullptr) {
    return Unimplemented("tensor 'blk.0.attn_qkv.weight': a joint matrix of q, k and v is not supported");
  }
  config->mlp_bias = HasTensor(file, TensorRole::kUpBias);
  if (config->mlp_bias && config->gated()) {
    return Unimplemented("tensor 'blk.0.ffn_up.bias': biases of a gated MLP are not supported");
  }
  config->head_bias = HasTensor(file, TensorRole::kHeadBias);
  config->tie_embeddings = !HasTensor(file, TensorRole::kHead);
  config->attention_bias =
      config->architecture == Architecture::kQwen2 || HasTensor(file, TensorRole::kQueryBias);
  config->attention_output_bias = HasTensor(file, TensorRole::kAttentionOutputBias);
  config->qk_norm = config->architecture == Architecture::kQwen3;
  config->gguf_permuted_qk = config->architecture == Architecture::kLlama;
  return OkStatus();
}

Status ReadTokens(const GgufFile& file, const Metadata& metadata, ModelConfig* config) {
  ASSIGN_OR_RETURN(const std::optional<int> vocab_size, metadata.Int("vocab_size"));
  const GgufValue* tokens = file.FindMetadata("tokenizer.ggml.tokens");
  if (vocab_size) {
    config->vocab_size = *vocab_size;
  } else if (tokens != nullptr && tokens->AsStrings() != nullptr) {
    config->vocab_size = static_cast<int>(tokens->AsStrings()->size());
  } else {
    return metadata.Missing("vocab_size");
  }
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    ASSIGN_OR_RETURN(const std::optional<int> id, metadata.AnyInt(key));
    const auto& ids = config->eos_token_ids;
    if (id && std::find(ids.begin(), ids.end(), *id) == ids.end()) config->eos_token_ids.push_back(*id);
  }
  ASSIGN_OR_RETURN(const std::optional<int> bos, metadata.AnyInt("tokenizer.ggml.bos_token_id"));
  config->bos_token_id = bos.value_or(-1);
  return OkStatus();
}

// Our own keys: a sliced model's widths, three a layer (in, mid, out).
Status ReadSlicing(const GgufFile& file, const Metadata& metadata, ModelConfig* config) {
  const std::string key = "reprise.sliced.widths";
  const GgufValue* widths = file.FindMetadata(key);
  if (widths == nullptr) return OkStatus();
  const std::vector<std::int64_t>* values = widths->AsInts();
  if (values == nullptr || values->size() % 3 != 0 ||
      !std::all_of(values->begin(), values->end(), [](std::int64_t w) { return w > 0 && w <= INT32_MAX; })) {
    return InvalidArgument("metadata key " + Quoted(key) + " must be a list of three widths a layer", key);
  }
  const auto at = [&](std::size_t i) { return static_cast<int>((*values)[i]); };
  for (std::size_t i = 0; i < values->size(); i += 3) config->widths.push_back({at(i), at(i + 1), at(i + 2)});
  ASSIGN_OR_RETURN(const std::optional<int> norm_dim, metadata.AnyInt("reprise.sliced.norm_dim"));
  config->norm_dim = norm_dim.value_or(0);
  return OkStatus();
}

// What the name alone decides.
Status ReadArchitecture(const std::string& name, ModelConfig* config) {
  if (name == "llama") {
    config->architecture = Architecture::kLlama;
  } else if (name == "qwen2") {
    config->architecture = Architecture::kQwen2;
  } else if (name == "qwen3") {
    config->architecture = Architecture::kQwen3;
  } else if (name == "phi2") {
    config->architecture = Architecture::kPhi;
    config->norm = NormKind::kLayer;
    config->activation = Activation::kGeluTanh;
    config->parallel_block = true;
  } else if (name == "opt") {
    config->architecture = Architecture::kOpt;
    config->norm = NormKind::kLayer;
    config->activation = Activation::kRelu;
    config->learned_positions = true;
  } else {
    return Unimplemented("metadata key 'general.architecture' is " + Quoted(name) +
                             ", which is not supported; supported: llama, qwen2, qwen3, phi2, opt",
                         "general.architecture");
  }
  return OkStatus();
}

}  // namespace

Result<ModelConfig> ReadGgufConfig(const GgufFile& file) {
  const GgufValue* value = file.FindMetadata("general.architecture");
  const std::string* name = value != nullptr ? value->AsString() : nullptr;
  if (name == nullptr)
    return InvalidArgument("metadata key 'general.architecture' is missing or not a string");
  ModelConfig config;
  RETURN_IF_ERROR(ReadArchitecture(*name, &config));
  const Metadata metadata(file, *name);
  RETURN_IF_ERROR(ReadSizes(metadata, &config));
  RETURN_IF_ERROR(ReadRope(file, metadata, &config));
  RETURN_IF_ERROR(ReadFeatures(file, metadata, &config));
  RETURN_IF_ERROR(ReadTokens(file, metadata, &config));
  RETURN_IF_ERROR(ReadSlicing(file, metadata, &config));
  return config;
}

}  // namespace reprise
