// Where a checkpoint keeps each weight of the decoder: Hugging Face's and GGUF's names in one map.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"
#include "models/formats/checkpoint.h"

namespace reprise {

// Shapes are [out, in]. D hidden, F intermediate, V vocabulary, Hq and Hkv heads of size d.
enum class TensorRole {
  kTokenEmbedding,       // [V, D]
  kFinalNorm,            // [D]
  kHead,                 // [V, D]; absent when tied to the embedding
  kAttentionNorm,        // [D]; this and all below: one a layer
  kQuery,                // [Hq d, D]
  kKey,                  // [Hkv d, D]
  kValue,                // [Hkv d, D]
  kQueryBias,            // [Hq d]
  kKeyBias,              // [Hkv d]
  kValueBias,            // [Hkv d]
  kAttentionOutput,      // [D, Hq d]
  kAttentionOutputBias,  // [D]
  kQueryNorm,            // [d]
  kKeyNorm,              // [d]
  kMlpNorm,              // [D]
  kGate,                 // [F, D]
  kUp,                   // [F, D]
  kDown,                 // [D, F]
  // Recycle modules only, and not one a layer.
  kRecycleHiddenNorm,       // [D]
  kRecycleEmbeddingNorm,    // [D]
  kRecycleInputProjection,  // [D, 2D]
};
inline constexpr int kNumTensorRoles = 21;

// The name that `checkpoint`'s format gives the tensor: "blk.3.attn_q.weight" or
// "model.layers.3.self_attn.q_proj.weight". `layer` is ignored for roles
// that no layer has.
std::string TensorName(const Checkpoint& checkpoint, TensorRole role, int layer);

// NOT_FOUND with the name that was looked for; UNIMPLEMENTED with the type when the tensor is there in a type
// that we cannot read. The pointer lives as long as the checkpoint.
Result<const TensorInfo*> FindTensor(const Checkpoint& checkpoint, TensorRole role, int layer = 0);

// DATA_LOSS: "tensor 'blk.3.attn_q.weight' has shape [576, 575], config says [576, 576]".
Status CheckShape(const TensorInfo& tensor, std::span<const std::int64_t> expected);

}  // namespace reprise
