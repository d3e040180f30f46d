// LayerStack::Load: which tensors a layer is made of.
#include <array>
#include <utility>

#include "models/layer_stack.h"
#include "models/rope_table.h"

namespace reprise {

Result<LayerStack> LayerStack::Load(WeightLoader& loader, const ModelConfig& config, Backend& backend,
                                    int max_positions) {
  LayerStack stack(config, backend);
  std::vector<int> query_order, key_order;
  if (config.gguf_permuted_qk) {
    query_order = GgufRowOrder(config.num_heads, config.head_dim);
    key_order = GgufRowOrder(config.num_kv_heads, config.head_dim);
  }
  stack.layers_.resize(static_cast<std::size_t>(config.num_layers));
  for (int i = 0; i < config.num_layers; ++i) {
    stack.layers_[static_cast<std::size_t>(i)].widths = config.layer_widths(i);
    RETURN_IF_ERROR(stack.LoadAttention(loader, i, query_order, key_order));
    RETURN_IF_ERROR(stack.LoadMlp(loader, i));
  }
  if (config.rotary_dim == 0) return stack;
  const std::vector<float> table = MakeRopeTable(config.rope, config.rotary_dim, max_positions);
  ASSIGN_OR_RETURN(stack.rope_.cos, loader.UploadFloats(table));
  stack.rope_.sin = stack.rope_.cos + table.size() / 2;
  stack.rope_.max_position = max_positions;
  stack.rope_.rotary_dim = config.rotary_dim;
  return stack;
}

Status LayerStack::LoadAttention(WeightLoader& loader, int index, std::span<const int> query_order,
                                 std::span<const int> key_order) {
  Layer& layer = layers_[static_cast<std::size_t>(index)];
  const LayerWidths& widths = layer.widths;
  const int query_rows = config_.num_heads * config_.head_dim;
  const int kv_rows = config_.num_kv_heads * config_.head_dim;
  if (!config_.sliced()) {
    ASSIGN_OR_RETURN(layer.attention_norm, loader.LoadVector(TensorRole::kAttentionNorm, widths.in, index));
    if (config_.norm == NormKind::kLayer) {
      ASSIGN_OR_RETURN(layer.attention_norm_bias,
                       loader.LoadVector(TensorRole::kAttentionNormBias, widths.in, index));
    }
  }
  const std::array qkv{MatrixSource{TensorRole::kQuery, query_rows, query_order},
                       MatrixSource{TensorRole::kKey, kv_rows, key_order},
                       MatrixSource{TensorRole::kValue, kv_rows}};
  ASSIGN_OR_RETURN(layer.qkv, loader.LoadMatrix(qkv, widths.in, index));
  if (config_.attention_bias) {
    const std::array bias{VectorSource{TensorRole::kQueryBias, query_rows, query_order},
                          VectorSource{TensorRole::kKeyBias, kv_rows, key_order},
                          VectorSource{TensorRole::kValueBias, kv_rows}};
    ASSIGN_OR_RETURN(layer.qkv_bias, loader.LoadVector(bias, index));
  }
  if (config_.qk_norm) {
    ASSIGN_OR_RETURN(layer.query_norm, loader.LoadVector(TensorRole::kQueryNorm, config_.head_dim, index));
    ASSIGN_OR_RETURN(layer.key_norm, loader.LoadVector(TensorRole::kKeyNorm, config_.head_dim, index));
  }
  const int output_width = config_.parallel_block ? widths.out : widths.mid;
  const std::array output{MatrixSource{TensorRole::kAttentionOutput, output_width}};
  ASSIGN_OR_RETURN(layer.attention_output, loader.LoadMatrix(output, query_rows, index));
  if (config_.attention_output_bias) {
    ASSIGN_OR_RETURN(layer.attention_output_bias,
                     loader.LoadVector(TensorRole::kAttentionOutputBias, output_width, index));
  }
  if (config_.sliced()) {
    const std::array shortcut{MatrixSource{TensorRole::kAttentionShortcut, output_width}};
    ASSIGN_OR_RETURN(layer.attention_shortcut, loader.LoadMatrix(shortcut, widths.in, index));
  }
  return OkStatus();
}

Status LayerStack::LoadMlp(WeightLoader& loader, int index) {
  Layer& layer = layers_[static_cast<std::size_t>(index)];
  const LayerWidths& widths = layer.widths;
  const int inner = config_.intermediate_size;
  if (!config_.sliced() && !config_.parallel_block) {
    ASSIGN_OR_RETURN(layer.mlp_norm, loader.LoadVector(TensorRole::kMlpNorm, widths.mid, index));
    if (config_.norm == NormKind::kLayer) {
      ASSIGN_OR_RETURN(layer.mlp_norm_bias, loader.LoadVector(TensorRole::kMlpNormBias, widths.mid, index));
    }
  }
  std::vector<MatrixSource> gate_up;
  if (config_.gated()) gate_up.push_back({TensorRole::kGate, inner});
  gate_up.push_back({TensorRole::kUp, inner});
  ASSIGN_OR_RETURN(layer.gate_up, loader.LoadMatrix(gate_up, widths.mid, index));
  const std::array down{MatrixSource{TensorRole::kDown, widths.out}};
  ASSIGN_OR_RETURN(layer.down, loader.LoadMatrix(down, inner, index));
  if (config_.mlp_bias) {
    ASSIGN_OR_RETURN(layer.up_bias, loader.LoadVector(TensorRole::kUpBias, inner, index));
    ASSIGN_OR_RETURN(layer.down_bias, loader.LoadVector(TensorRole::kDownBias, widths.out, index));
  }
  if (config_.sliced() && !config_.parallel_block) {
    const std::array shortcut{MatrixSource{TensorRole::kMlpShortcut, widths.out}};
    ASSIGN_OR_RETURN(layer.mlp_shortcut, loader.LoadMatrix(shortcut, widths.mid, index));
  }
  return OkStatus();
}

}  // namespace reprise
