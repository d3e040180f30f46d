// LayerStack::Load: which tensors a layer is made of.
#include <array>
#include <utility>

#include "models/layer_stack.h"
#include "models/rope_table.h"

namespace reprise {
namespace {

// Source row of each row of q or k in Hugging Face's order; see ModelConfig::gguf_permuted_qk.
std::vector<int> UnpermutedRows(int num_heads, int head_dim) {
  std::vector<int> order(static_cast<std::size_t>(num_heads) * head_dim);
  const int half = head_dim / 2;
  for (int head = 0; head < num_heads; ++head) {
    for (int i = 0; i < half; ++i) {
      for (int j = 0; j < 2; ++j) order[head * head_dim + i + j * half] = head * head_dim + 2 * i + j;
    }
  }
  return order;
}

}  // namespace

Result<LayerStack> LayerStack::Load(WeightLoader& loader, const ModelConfig& config, Backend& backend,
                                    int max_positions) {
  LayerStack stack(config, backend);
  std::vector<int> query_order, key_order;
  if (config.gguf_permuted_qk) {
    query_order = UnpermutedRows(config.num_heads, config.head_dim);
    key_order = UnpermutedRows(config.num_kv_heads, config.head_dim);
  }
  stack.layers_.resize(static_cast<std::size_t>(config.num_layers));
  for (int i = 0; i < config.num_layers; ++i) {
    RETURN_IF_ERROR(stack.LoadLayer(loader, i, query_order, key_order));
  }
  const std::vector<float> table = MakeRopeTable(config.rope, config.head_dim, max_positions);
  ASSIGN_OR_RETURN(stack.rope_.cos, loader.UploadFloats(table));
  stack.rope_.sin = stack.rope_.cos + table.size() / 2;
  stack.rope_.max_position = max_positions;
  return stack;
}

Status LayerStack::LoadLayer(WeightLoader& loader, int index, std::span<const int> query_order,
                             std::span<const int> key_order) {
  Layer& layer = layers_[static_cast<std::size_t>(index)];
  const int width = config_.hidden_size;
  const int query_rows = config_.num_heads * config_.head_dim;
  const int kv_rows = config_.num_kv_heads * config_.head_dim;
  const auto vector = [&](TensorRole role, int size) -> Result<const float*> {
    const std::array parts{VectorSource{role, size}};
    return loader.LoadVector(parts, index);
  };
  ASSIGN_OR_RETURN(layer.attention_norm, vector(TensorRole::kAttentionNorm, width));
  ASSIGN_OR_RETURN(layer.mlp_norm, vector(TensorRole::kMlpNorm, width));
  const std::array qkv{MatrixSource{TensorRole::kQuery, query_rows, query_order},
                       MatrixSource{TensorRole::kKey, kv_rows, key_order},
                       MatrixSource{TensorRole::kValue, kv_rows}};
  ASSIGN_OR_RETURN(layer.qkv, loader.LoadMatrix(qkv, width, index));
  if (config_.attention_bias) {
    const std::array bias{VectorSource{TensorRole::kQueryBias, query_rows, query_order},
                          VectorSource{TensorRole::kKeyBias, kv_rows, key_order},
                          VectorSource{TensorRole::kValueBias, kv_rows}};
    ASSIGN_OR_RETURN(layer.qkv_bias, loader.LoadVector(bias, index));
  }
  if (config_.qk_norm) {
    ASSIGN_OR_RETURN(layer.query_norm, vector(TensorRole::kQueryNorm, config_.head_dim));
    ASSIGN_OR_RETURN(layer.key_norm, vector(TensorRole::kKeyNorm, config_.head_dim));
  }
  const std::array output{MatrixSource{TensorRole::kAttentionOutput, width}};
  ASSIGN_OR_RETURN(layer.attention_output, loader.LoadMatrix(output, query_rows, index));
  if (config_.attention_output_bias) {
    ASSIGN_OR_RETURN(layer.attention_output_bias, vector(TensorRole::kAttentionOutputBias, width));
  }
  const std::array gate_up{MatrixSource{TensorRole::kGate, config_.intermediate_size},
                           MatrixSource{TensorRole::kUp, config_.intermediate_size}};
  ASSIGN_OR_RETURN(layer.gate_up, loader.LoadMatrix(gate_up, width, index));
  const std::array down{MatrixSource{TensorRole::kDown, width}};
  ASSIGN_OR_RETURN(layer.down, loader.LoadMatrix(down, config_.intermediate_size, index));
  return OkStatus();
}

}  // namespace reprise
