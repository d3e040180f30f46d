#include "models/sliced_config.h"

#include <optional>

#include "models/formats/json_file.h"

namespace reprise {
namespace {

using Json = nlohmann::ordered_json;

const char* ClassName(Architecture architecture) {
  switch (architecture) {
    case Architecture::kLlama:
      return "LlamaForCausalLM";
    case Architecture::kMistral:
      return "MistralForCausalLM";
    case Architecture::kQwen2:
      return "Qwen2ForCausalLM";
    case Architecture::kQwen3:
      return "Qwen3ForCausalLM";
    case Architecture::kOpt:
      return "OPTForCausalLM";
    case Architecture::kPhi:
      return "PhiForCausalLM";
  }
  return "";
}

void WriteSizes(const ModelConfig& config, Json* json) {
  const bool is_opt = config.architecture == Architecture::kOpt;
  (*json)["vocab_size"] = config.vocab_size;
  (*json)["hidden_size"] = config.hidden_size;
  (*json)["num_hidden_layers"] = config.num_layers;
  (*json)["num_attention_heads"] = config.num_heads;
  (*json)["num_key_value_heads"] = config.num_kv_heads;
  (*json)["head_dim"] = config.head_dim;
  (*json)[is_opt ? "ffn_dim" : "intermediate_size"] = config.intermediate_size;
  (*json)["max_position_embeddings"] = config.max_position;
  if (config.norm == NormKind::kRms) (*json)["rms_norm_eps"] = config.norm_epsilon;
  if (config.architecture == Architecture::kPhi) (*json)["layer_norm_eps"] = config.norm_epsilon;
}

void WriteRope(const ModelConfig& config, Json* json) {
  if (config.rotary_dim == 0) return;
  const RopeConfig& rope = config.rope;
  (*json)["rope_theta"] = rope.theta;
  if (config.rotary_dim != config.head_dim) {
    (*json)["partial_rotary_factor"] = static_cast<double>(config.rotary_dim) / config.head_dim;
  }
  Json scaling;
  switch (rope.scaling) {
    case RopeScaling::kNone:
      break;
    case RopeScaling::kLinear:
      scaling = {{"rope_type", "linear"}, {"factor", rope.factor}};
      break;
    case RopeScaling::kDynamic:
      scaling = {{"rope_type", "dynamic"}, {"factor", rope.factor}};
      break;
    case RopeScaling::kLlama3:
      scaling = {{"rope_type", "llama3"},
                 {"factor", rope.factor},
                 {"low_freq_factor", rope.low_frequency_factor},
                 {"high_freq_factor", rope.high_frequency_factor},
                 {"original_max_position_embeddings", rope.original_max_position}};
      break;
  }
  (*json)["rope_scaling"] = scaling;
}

void WriteFeatures(const ModelConfig& config, Json* json) {
  switch (config.architecture) {
    case Architecture::kLlama:
    case Architecture::kQwen3:
      (*json)["attention_bias"] = config.attention_bias;
      break;
    case Architecture::kMistral:
      (*json)["sliding_window"] = config.sliding_window > 0 ? Json(config.sliding_window) : Json();
      break;
    case Architecture::kOpt:
      (*json)["activation_function"] = "relu";
      break;
    case Architecture::kPhi:
      (*json)["hidden_act"] = "gelu_new";
      break;
    case Architecture::kQwen2:
      break;
  }
}

Json SlicingJson(const ModelConfig& config) {
  Json in = Json::array(), mid = Json::array(), out = Json::array();
  for (const LayerWidths& layer : config.widths) {
    in.push_back(layer.in);
    mid.push_back(layer.mid);
    out.push_back(layer.out);
  }
  Json slicing = {{"norm_dim", config.norm_dim},
                  {"attention_input_widths", in},
                  {"mlp_input_widths", mid},
                  {"output_widths", out}};
  if (!config.rope.frequency_factors.empty()) {
    slicing["rope_frequency_factors"] = config.rope.frequency_factors;
  }
  return slicing;
}

}  // namespace

Result<std::vector<LayerWidths>> ReadLayerWidths(const JsonFields& fields) {
  ASSIGN_OR_RETURN(const std::vector<int> in, fields.Ints("attention_input_widths"));
  ASSIGN_OR_RETURN(const std::vector<int> mid, fields.Ints("mlp_input_widths"));
  ASSIGN_OR_RETURN(const std::vector<int> out, fields.Ints("output_widths"));
  if (in.empty()) return fields.Wrong("attention_input_widths", "a list of widths, one a layer");
  if (mid.size() != in.size()) return fields.Wrong("mlp_input_widths", "as many widths as attention inputs");
  if (out.size() != in.size()) return fields.Wrong("output_widths", "as many widths as attention inputs");
  std::vector<LayerWidths> widths;
  for (std::size_t i = 0; i < in.size(); ++i) widths.push_back({in[i], mid[i], out[i]});
  return widths;
}

Result<std::vector<LayerWidths>> ReadLayerWidthsFile(const std::string& path) {
  ASSIGN_OR_RETURN(const nlohmann::json object, ReadJsonObject(path));
  const JsonFields fields(object, path);
  ASSIGN_OR_RETURN(const std::optional<JsonFields> slicing, fields.Object("slicing"));
  return ReadLayerWidths(slicing ? *slicing : fields);
}

std::string SlicedConfigJson(const ModelConfig& config, const std::string& dtype,
                             const std::map<std::string, std::string>& provenance) {
  Json json;
  json["architectures"] = {kSlicedClass};
  json["base_architectures"] = {ClassName(config.architecture)};
  json["model_type"] = "reprise_sliced";
  WriteSizes(config, &json);
  WriteRope(config, &json);
  WriteFeatures(config, &json);
  json["tie_word_embeddings"] = false;
  json["eos_token_id"] = config.eos_token_ids;
  if (config.bos_token_id >= 0) json["bos_token_id"] = config.bos_token_id;
  json["torch_dtype"] = dtype;
  json["slicing"] = SlicingJson(config);
  json["slicing"]["made_by"] = provenance;
  return json.dump(2) + "\n";
}

}  // namespace reprise
