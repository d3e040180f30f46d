#include "kernels/reference/reference_attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/float_types.h"
#include "kernels/kv_int8.h"

namespace reprise {
namespace {

std::size_t SlotOffset(const KvGeometry& geometry, int slot, int kv_head) {
  return (static_cast<std::size_t>(slot) * geometry.num_kv_heads + kv_head) * geometry.head_bytes();
}

void StoreHead(const KvGeometry& geometry, const float* values, std::byte* out) {
  if (geometry.type == KvType::kF32) {
    std::memcpy(out, values, sizeof(float) * geometry.head_dim);
    return;
  }
  if (geometry.type == KvType::kInt8) {
    const KvScale scale = KvScaleOf(values, geometry.head_dim);
    std::memcpy(out, &scale.scale, sizeof(float));
    out += sizeof(float);
    for (int d = 0; d < geometry.head_dim; ++d)
      out[d] = static_cast<std::byte>(QuantizeKv(values[d], scale.inverse));
    return;
  }
  for (int d = 0; d < geometry.head_dim; ++d) {
    const std::uint16_t bits = FloatToBf16(values[d]);
    std::memcpy(out + 2 * d, &bits, 2);
  }
}

void LoadHead(const KvGeometry& geometry, const std::byte* stored, float* out) {
  if (geometry.type == KvType::kF32) {
    std::memcpy(out, stored, sizeof(float) * geometry.head_dim);
    return;
  }
  if (geometry.type == KvType::kInt8) {
    float scale;
    std::memcpy(&scale, stored, sizeof(float));
    stored += sizeof(float);
    for (int d = 0; d < geometry.head_dim; ++d)
      out[d] = scale * static_cast<float>(static_cast<std::int8_t>(stored[d]));
    return;
  }
  for (int d = 0; d < geometry.head_dim; ++d) {
    std::uint16_t bits;
    std::memcpy(&bits, stored + 2 * d, 2);
    out[d] = Bf16ToFloat(bits);
  }
}

// out = rope(norm(x)) for one head; `weight` nullptr skips the norm. `out` may be x.
void NormAndRotate(const float* x, const float* weight, const RopeAndStoreKvArgs& args, int position,
                   float* out) {
  const int dim = args.kv.geometry.head_dim;
  std::vector<float> normed(x, x + dim);
  if (weight != nullptr) ReferenceRmsNorm(x, dim, {weight, args.norm_epsilon, dim}, normed.data());
  std::copy_n(normed.data(), dim, out);
  if (args.rope.cos == nullptr) return;
  const int half = (args.rope.rotary_dim > 0 ? args.rope.rotary_dim : dim) / 2;
  const float* cos = args.rope.cos + static_cast<std::size_t>(position) * half;
  const float* sin = args.rope.sin + static_cast<std::size_t>(position) * half;
  for (int i = 0; i < half; ++i) {
    const float a = normed[i];
    const float b = normed[i + half];
    out[i] = a * cos[i] - b * sin[i];
    out[i + half] = b * cos[i] + a * sin[i];
  }
}

// Softmax attention of one query head over positions [first, last] of sequence `s`.
void AttendHead(const AttentionArgs& args, int s, int first, int last, int kv_head, const float* query,
                float* out) {
  const KvGeometry& geometry = args.kv.geometry;
  const int dim = geometry.head_dim;
  const BlockId* blocks = args.batch->block_ids.data() + args.batch->block_start[s];
  std::vector<float> scores(last - first + 1);
  std::vector<float> head(dim);
  const auto offset = [&](int position) {
    const int slot =
        blocks[position / geometry.block_size] * geometry.block_size + position % geometry.block_size;
    return SlotOffset(geometry, slot, kv_head);
  };
  for (int position = first; position <= last; ++position) {
    LoadHead(geometry, args.kv.keys + offset(position), head.data());
    float dot = 0.0f;
    for (int d = 0; d < dim; ++d) dot = std::fma(query[d], head[d], dot);
    scores[position - first] = dot * args.scale;
  }
  const float maximum = *std::max_element(scores.begin(), scores.end());
  float sum = 0.0f;
  for (float& score : scores) sum += score = std::exp(score - maximum);
  std::fill_n(out, dim, 0.0f);
  for (int position = first; position <= last; ++position) {
    LoadHead(geometry, args.kv.values + offset(position), head.data());
    for (int d = 0; d < dim; ++d) out[d] = std::fma(scores[position - first], head[d], out[d]);
  }
  for (int d = 0; d < dim; ++d) out[d] /= sum;
}

}  // namespace

void ReferenceRmsNorm(const float* x, int columns, const RmsNormSpec& spec, float* out) {
  float sum = 0.0f;
  for (int k = 0; k < columns; ++k) sum = std::fma(x[k], x[k], sum);
  const float scale = 1.0f / std::sqrt(sum / static_cast<float>(spec.norm_dim) + spec.epsilon);
  for (int k = 0; k < columns; ++k) out[k] = x[k] * scale * (spec.weight == nullptr ? 1.0f : spec.weight[k]);
}

void ReferenceLayerNorm(const float* x, int columns, const LayerNormSpec& spec, float* out) {
  float sum = 0.0f;
  for (int k = 0; k < columns; ++k) sum += x[k];
  const float mean = sum / static_cast<float>(columns);
  float squares = 0.0f;
  for (int k = 0; k < columns; ++k) squares = std::fma(x[k] - mean, x[k] - mean, squares);
  const float scale = 1.0f / std::sqrt(squares / static_cast<float>(columns) + spec.epsilon);
  for (int k = 0; k < columns; ++k) out[k] = (x[k] - mean) * scale * spec.weight[k] + spec.bias[k];
}

void ReferenceRopeAndStoreKv(const RopeAndStoreKvArgs& args) {
  const KvGeometry& geometry = args.kv.geometry;
  const int dim = geometry.head_dim;
  std::vector<float> rotated(dim);
  for (int t = 0; t < args.qkv.rows; ++t) {
    const int position = args.batch->positions[t];
    const int slot = args.batch->slots[t];
    float* queries = args.qkv.row(t);
    const float* keys = queries + args.num_heads * dim;
    const float* values = keys + geometry.num_kv_heads * dim;
    for (int h = 0; h < args.num_heads; ++h)
      NormAndRotate(queries + h * dim, args.query_norm, args, position, queries + h * dim);
    for (int h = 0; h < geometry.num_kv_heads; ++h) {
      const std::size_t offset = SlotOffset(geometry, slot, h);
      NormAndRotate(keys + h * dim, args.key_norm, args, position, rotated.data());
      StoreHead(geometry, rotated.data(), args.kv.keys + offset);
      StoreHead(geometry, values + h * dim, args.kv.values + offset);
    }
  }
}

void ReferenceAttention(const AttentionArgs& args) {
  const KvGeometry& geometry = args.kv.geometry;
  const BatchView& batch = *args.batch;
  const int dim = geometry.head_dim;
  const int num_heads = args.queries.columns / dim;
  const int group = num_heads / geometry.num_kv_heads;
  for (int s = 0; s < batch.num_sequences(); ++s) {
    for (int t = batch.query_start[s]; t < batch.query_start[s + 1]; ++t) {
      const int last = batch.context_len[s] + t - batch.query_start[s];
      const int first = args.sliding_window > 0 ? std::max(0, last - args.sliding_window + 1) : 0;
      for (int h = 0; h < num_heads; ++h)
        AttendHead(args, s, first, last, h / group, args.queries.row(t) + h * dim, args.out.row(t) + h * dim);
    }
  }
}

void ReferenceCopyKvSlots(std::span<const int> src, std::span<const int> dst, const KvLayer& kv) {
  const std::size_t bytes = SlotOffset(kv.geometry, 1, 0);
  for (std::size_t i = 0; i < src.size(); ++i) {
    std::memcpy(kv.keys + bytes * dst[i], kv.keys + bytes * src[i], bytes);
    std::memcpy(kv.values + bytes * dst[i], kv.values + bytes * src[i], bytes);
  }
}

void ReferenceReadKvSlots(std::span<const int> slots, const KvLayer& kv, std::vector<float>* keys,
                          std::vector<float>* values) {
  const KvGeometry& geometry = kv.geometry;
  const std::size_t size = slots.size() * geometry.num_kv_heads * geometry.head_dim;
  keys->resize(size);
  values->resize(size);
  std::size_t at = 0;
  for (int slot : slots) {
    for (int h = 0; h < geometry.num_kv_heads; ++h, at += geometry.head_dim) {
      LoadHead(geometry, kv.keys + SlotOffset(geometry, slot, h), keys->data() + at);
      LoadHead(geometry, kv.values + SlotOffset(geometry, slot, h), values->data() + at);
    }
  }
}

}  // namespace reprise
