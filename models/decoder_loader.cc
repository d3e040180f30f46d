#include "models/decoder_loader.h"

#include <array>
#include <utility>

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

Status DecoderLoader::Load(int max_positions) {
  const int width = config_.hidden_size;
  if (config_.gguf_permuted_qk) {
    query_order_ = UnpermutedRows(config_.num_heads, config_.head_dim);
    key_order_ = UnpermutedRows(config_.num_kv_heads, config_.head_dim);
  }
  const std::array embedding{Matrix{TensorRole::kTokenEmbedding, config_.vocab_size}};
  ASSIGN_OR_RETURN(decoder_.embedding_, LoadWeight(embedding, width, 0));
  if (!config_.tie_embeddings) {
    const std::array head{Matrix{TensorRole::kHead, config_.vocab_size}};
    ASSIGN_OR_RETURN(decoder_.head_, LoadWeight(head, width, 0));
  }
  const std::array final_norm{Vector{TensorRole::kFinalNorm, width}};
  ASSIGN_OR_RETURN(decoder_.final_norm_, LoadVector(final_norm, 0));
  decoder_.layers_.resize(static_cast<std::size_t>(config_.num_layers));
  for (int i = 0; i < config_.num_layers; ++i) {
    RETURN_IF_ERROR(LoadLayer(i, &decoder_.layers_[static_cast<std::size_t>(i)]));
  }
  return LoadRope(max_positions);
}

Status DecoderLoader::LoadLayer(int index, Decoder::Layer* layer) {
  const int width = config_.hidden_size;
  const int query_rows = config_.num_heads * config_.head_dim;
  const int kv_rows = config_.num_kv_heads * config_.head_dim;
  const auto vector = [&](TensorRole role, int size) -> Result<const float*> {
    const std::array parts{Vector{role, size}};
    return LoadVector(parts, index);
  };
  ASSIGN_OR_RETURN(layer->attention_norm, vector(TensorRole::kAttentionNorm, width));
  ASSIGN_OR_RETURN(layer->mlp_norm, vector(TensorRole::kMlpNorm, width));
  const std::array qkv{Matrix{TensorRole::kQuery, query_rows, query_order_},
                       Matrix{TensorRole::kKey, kv_rows, key_order_}, Matrix{TensorRole::kValue, kv_rows}};
  ASSIGN_OR_RETURN(layer->qkv, LoadWeight(qkv, width, index));
  if (config_.attention_bias) {
    const std::array bias{Vector{TensorRole::kQueryBias, query_rows, query_order_},
                          Vector{TensorRole::kKeyBias, kv_rows, key_order_},
                          Vector{TensorRole::kValueBias, kv_rows}};
    ASSIGN_OR_RETURN(layer->qkv_bias, LoadVector(bias, index));
  }
  if (config_.qk_norm) {
    ASSIGN_OR_RETURN(layer->query_norm, vector(TensorRole::kQueryNorm, config_.head_dim));
    ASSIGN_OR_RETURN(layer->key_norm, vector(TensorRole::kKeyNorm, config_.head_dim));
  }
  const std::array output{Matrix{TensorRole::kAttentionOutput, width}};
  ASSIGN_OR_RETURN(layer->attention_output, LoadWeight(output, query_rows, index));
  if (config_.attention_output_bias) {
    ASSIGN_OR_RETURN(layer->attention_output_bias, vector(TensorRole::kAttentionOutputBias, width));
  }
  const std::array gate_up{Matrix{TensorRole::kGate, config_.intermediate_size},
                           Matrix{TensorRole::kUp, config_.intermediate_size}};
  ASSIGN_OR_RETURN(layer->gate_up, LoadWeight(gate_up, width, index));
  const std::array down{Matrix{TensorRole::kDown, width}};
  ASSIGN_OR_RETURN(layer->down, LoadWeight(down, config_.intermediate_size, index));
  return OkStatus();
}

Status DecoderLoader::LoadRope(int max_positions) {
  const std::vector<float> table = MakeRopeTable(config_.rope, config_.head_dim, max_positions);
  ASSIGN_OR_RETURN(decoder_.rope_.cos, UploadFloats(table));
  decoder_.rope_.sin = decoder_.rope_.cos + table.size() / 2;
  decoder_.rope_.max_position = max_positions;
  return OkStatus();
}

Result<std::unique_ptr<Weight>> DecoderLoader::LoadWeight(std::span<const Matrix> stacked, int columns,
                                                          int layer) {
  std::vector<WeightSource> sources;
  for (const Matrix& matrix : stacked) {
    ASSIGN_OR_RETURN(const TensorInfo* tensor, FindTensor(checkpoint_, matrix.role, layer));
    const std::array<std::int64_t, 2> shape{matrix.rows, columns};
    RETURN_IF_ERROR(CheckShape(*tensor, shape));
    sources.push_back({tensor->type, tensor->data, matrix.rows, columns, matrix.row_order});
    decoder_.num_parameters_ += tensor->elements();
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Weight> weight, backend_.Pack(sources));
  decoder_.weight_bytes_ += weight->bytes();
  return weight;
}

Result<const float*> DecoderLoader::LoadVector(std::span<const Vector> parts, int layer) {
  std::vector<float> values;
  for (const Vector& part : parts) {
    ASSIGN_OR_RETURN(const TensorInfo* tensor, FindTensor(checkpoint_, part.role, layer));
    const std::array<std::int64_t, 1> shape{part.size};
    RETURN_IF_ERROR(CheckShape(*tensor, shape));
    std::vector<float> own(static_cast<std::size_t>(part.size));
    Dequantize(tensor->type, tensor->data, part.size, own.data());
    for (int i = 0; i < part.size; ++i) values.push_back(own[part.order.empty() ? i : part.order[i]]);
    decoder_.num_parameters_ += part.size;
  }
  return UploadFloats(values);
}

Result<const float*> DecoderLoader::UploadFloats(const std::vector<float>& values) {
  ASSIGN_OR_RETURN(std::unique_ptr<DeviceMemory> memory, backend_.Allocate(values.size() * sizeof(float)));
  backend_.Upload(memory->data(), values.data(), values.size() * sizeof(float));
  const auto* data = static_cast<const float*>(memory->data());
  decoder_.device_memory_.push_back(std::move(memory));
  return data;
}

}  // namespace reprise
