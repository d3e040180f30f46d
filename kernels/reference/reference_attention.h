// The reference backend's norm, rotary embedding, attention and KV cache. Within a block the cache is
// [slot][kv head][head_dim], with the scale of an int8 head before it.
#pragma once

#include <span>
#include <vector>

#include "kernels/backend.h"

namespace reprise {

// One row: out = x * rsqrt(sum(x^2) / spec.norm_dim + epsilon) * weight.
void ReferenceRmsNorm(const float* x, int columns, const RmsNormSpec& spec, float* out);

// One row: out = (x - mean) * rsqrt(variance + epsilon) * weight + bias.
void ReferenceLayerNorm(const float* x, int columns, const LayerNormSpec& spec, float* out);

// These follow the contracts of the Backend operations of the same names.
void ReferenceRopeAndStoreKv(const RopeAndStoreKvArgs& args);
void ReferenceAttention(const AttentionArgs& args);
void ReferenceCopyKvSlots(std::span<const int> src, std::span<const int> dst, const KvLayer& kv);
void ReferenceReadKvSlots(std::span<const int> slots, const KvLayer& kv, std::vector<float>* keys,
                          std::vector<float>* values);

}  // namespace reprise
