#include "models/model_tensors.h"

namespace reprise {
namespace {

class List {
 public:
  void Matrix(TensorRole role, std::int64_t rows, std::int64_t columns) {
    tensors_.push_back({role, layer_, {rows, columns}});
  }
  void Vector(TensorRole role, std::int64_t size, bool present = true) {
    if (present) tensors_.push_back({role, layer_, {size}});
  }
  void SetLayer(int layer) { layer_ = layer; }
  std::vector<ModelTensor> Take() { return std::move(tensors_); }

 private:
  int layer_ = 0;
  std::vector<ModelTensor> tensors_;
};

void AddAttention(const ModelConfig& config, const LayerWidths& widths, List* list) {
  const int queries = config.num_heads * config.head_dim;
  const int keys = config.num_kv_heads * config.head_dim;
  const int out = config.parallel_block ? widths.out : widths.mid;
  const bool normed = !config.sliced();
  list->Vector(TensorRole::kAttentionNorm, widths.in, normed);
  list->Vector(TensorRole::kAttentionNormBias, widths.in, normed && config.norm == NormKind::kLayer);
  list->Matrix(TensorRole::kQuery, queries, widths.in);
  list->Matrix(TensorRole::kKey, keys, widths.in);
  list->Matrix(TensorRole::kValue, keys, widths.in);
  list->Vector(TensorRole::kQueryBias, queries, config.attention_bias);
  list->Vector(TensorRole::kKeyBias, keys, config.attention_bias);
  list->Vector(TensorRole::kValueBias, keys, config.attention_bias);
  list->Vector(TensorRole::kQueryNorm, config.head_dim, config.qk_norm);
  list->Vector(TensorRole::kKeyNorm, config.head_dim, config.qk_norm);
  list->Matrix(TensorRole::kAttentionOutput, out, queries);
  list->Vector(TensorRole::kAttentionOutputBias, out, config.attention_output_bias);
  if (config.sliced()) list->Matrix(TensorRole::kAttentionShortcut, out, widths.in);
}

void AddMlp(const ModelConfig& config, const LayerWidths& widths, List* list) {
  const int inner = config.intermediate_size;
  const bool normed = !config.sliced() && !config.parallel_block;
  list->Vector(TensorRole::kMlpNorm, widths.mid, normed);
  list->Vector(TensorRole::kMlpNormBias, widths.mid, normed && config.norm == NormKind::kLayer);
  if (config.gated()) list->Matrix(TensorRole::kGate, inner, widths.mid);
  list->Matrix(TensorRole::kUp, inner, widths.mid);
  list->Vector(TensorRole::kUpBias, inner, config.mlp_bias);
  list->Matrix(TensorRole::kDown, widths.out, inner);
  list->Vector(TensorRole::kDownBias, widths.out, config.mlp_bias);
  if (config.sliced() && !config.parallel_block) {
    list->Matrix(TensorRole::kMlpShortcut, widths.out, widths.mid);
  }
}

}  // namespace

std::vector<ModelTensor> ModelTensors(const ModelConfig& config) {
  List list;
  list.Matrix(TensorRole::kTokenEmbedding, config.vocab_size, config.embedding_width());
  if (config.learned_positions) {
    list.Matrix(TensorRole::kPositionEmbedding, config.position_rows(), config.embedding_width());
  }
  for (int i = 0; i < config.num_layers; ++i) {
    list.SetLayer(i);
    AddAttention(config, config.layer_widths(i), &list);
    AddMlp(config, config.layer_widths(i), &list);
  }
  list.SetLayer(0);
  list.Vector(TensorRole::kFinalNorm, config.hidden_size, !config.sliced());
  list.Vector(TensorRole::kFinalNormBias, config.hidden_size,
              !config.sliced() && config.norm == NormKind::kLayer);
  if (!config.tie_embeddings) list.Matrix(TensorRole::kHead, config.vocab_size, config.hidden_size);
  list.Vector(TensorRole::kHeadBias, config.vocab_size, config.head_bias);
  if (config.sliced()) {
    list.Matrix(TensorRole::kInputRotation, config.norm_dim, config.embedding_width());
    list.Matrix(TensorRole::kOutputRotation, config.norm_dim, config.hidden_size);
  }
  return list.Take();
}

bool IsRotationName(std::string_view name) {
  return name == TensorName(TensorNaming::kGguf, TensorRole::kInputRotation, 0) ||
         name == TensorName(TensorNaming::kGguf, TensorRole::kOutputRotation, 0);
}

std::int64_t NumParameters(const ModelConfig& config) {
  std::int64_t total = 0;
  for (const ModelTensor& tensor : ModelTensors(config)) {
    if (IsRotation(tensor.role)) continue;
    std::int64_t elements = 1;
    for (const std::int64_t size : tensor.shape) elements *= size;
    total += elements;
  }
  return total;
}

}  // namespace reprise
