#include "benches/random_checkpoint.h"

#include <algorithm>
#include <fstream>
#include <memory>
#include <utility>

#include "benches/random_weights.h"
#include "models/fingerprint.h"
#include "models/formats/tensor_writer.h"
#include "models/model_tensors.h"

namespace reprise::bench {
namespace {

// Of a layer or the final norm; a module's names lack the target's prefix.
std::string NameInModule(const ModelTensor& tensor) {
  constexpr std::string_view kPrefix = "model.";
  return TensorName(TensorNaming::kHuggingFace, tensor.role, tensor.layer).substr(kPrefix.size());
}

std::vector<TensorSpec> ModuleTensors(const ModelConfig& config, int num_layers) {
  ModelConfig layers = config;
  layers.num_layers = num_layers;
  const std::int64_t width = config.hidden_size;
  std::vector<TensorSpec> specs = {
      {"hidden_norm.weight", WeightType::kF32, {width}},
      {"embedding_norm.weight", WeightType::kF32, {width}},
      {"input_projection.weight", WeightType::kBF16, {width, 2 * width}},
  };
  for (const ModelTensor& tensor : ModelTensors(layers)) {
    if (tensor.role == TensorRole::kTokenEmbedding || tensor.role == TensorRole::kHead) continue;
    specs.push_back(
        {NameInModule(tensor), tensor.is_matrix() ? WeightType::kBF16 : WeightType::kF32, tensor.shape});
  }
  return specs;
}

}  // namespace

std::optional<ModelConfig> LlamaShape(const std::string& name, int max_position) {
  ModelConfig config;
  config.vocab_size = 32000;
  config.head_dim = config.rotary_dim = 128;
  config.max_position = max_position;
  if (name == "135m") {
    config.vocab_size = 49152;
    config.hidden_size = 576;
    config.num_layers = 30;
    config.num_heads = 9;
    config.num_kv_heads = 3;
    config.head_dim = config.rotary_dim = 64;
    config.intermediate_size = 1536;
    return config;
  }
  struct Shape {
    std::string_view name;
    int layers, width, heads, ffn;
  };
  for (const Shape& shape : {Shape{"1.3b", 24, 2048, 16, 5504}, Shape{"7b", 32, 4096, 32, 11008},
                             Shape{"13b", 40, 5120, 40, 13824}}) {
    if (shape.name != name) continue;
    config.hidden_size = shape.width;
    config.num_layers = shape.layers;
    config.num_heads = config.num_kv_heads = shape.heads;
    config.intermediate_size = shape.ffn;
    return config;
  }
  return std::nullopt;
}

RandomCheckpoint::RandomCheckpoint(const ModelConfig& config, WeightType matrices, WeightType shortcuts) {
  std::map<WeightType, std::int64_t> largest;
  for (const ModelTensor& tensor : ModelTensors(config)) {
    const bool shortcut =
        tensor.role == TensorRole::kAttentionShortcut || tensor.role == TensorRole::kMlpShortcut;
    TensorInfo info;
    info.name = TensorName(TensorNaming::kHuggingFace, tensor.role, tensor.layer);
    info.type = !tensor.is_matrix() ? WeightType::kF32 : shortcut ? shortcuts : matrices;
    info.shape = tensor.shape;
    info.bytes = *WeightBytes(info.type, info.elements());
    largest[info.type] = std::max(largest[info.type], info.elements());
    tensors_.push_back(info);
  }
  for (const auto& [type, elements] : largest) data_[type] = RandomBlocks(type, elements);
  for (TensorInfo& tensor : tensors_) {
    tensor.data = data_[tensor.type].data();
    by_name_[tensor.name] = &tensor;
  }
}

const TensorInfo* RandomCheckpoint::Find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found != by_name_.end() ? found->second : nullptr;
}

Status WriteRandomModule(const std::string& directory, const Checkpoint& target, const ModelConfig& config,
                         int num_layers) {
  const std::vector<TensorSpec> specs = ModuleTensors(config, num_layers);
  ASSIGN_OR_RETURN(const std::unique_ptr<TensorWriter> writer,
                   TensorWriter::CreateSafetensors(directory + "/model.safetensors", specs, {}));
  for (const TensorSpec& spec : specs)
    RETURN_IF_ERROR(writer->Write(spec.name, 0, RandomBlocks(spec.type, spec.elements())));
  RETURN_IF_ERROR(writer->Finish());
  ASSIGN_OR_RETURN(const std::string sha256, BaseFingerprint(target, config));
  std::ofstream out(directory + "/config.json");
  out << R"({"architectures":["RepriseRecycleModule"],"model_type":"reprise_recycle","hidden_kind":"post_norm",)"
      << R"("max_draft_tokens":1,"rms_norm_eps":1e-5,"rope_theta":10000.0,"base_name":"random","base_sha256":")"
      << sha256 << R"(","hidden_size":)" << config.hidden_size << R"(,"vocab_size":)" << config.vocab_size
      << R"(,"num_hidden_layers":)" << num_layers << R"(,"num_attention_heads":)" << config.num_heads
      << R"(,"num_key_value_heads":)" << config.num_kv_heads << R"(,"head_dim":)" << config.head_dim
      << R"(,"intermediate_size":)" << config.intermediate_size << "}\n";
  return out.good() ? OkStatus() : FailedPrecondition(directory + "/config.json cannot be written");
}

}  // namespace reprise::bench
