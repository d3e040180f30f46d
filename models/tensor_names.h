// Where a checkpoint keeps each weight of the decoder: Hugging Face's and GGUF's names in one map.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "models/formats/checkpoint.h"

namespace reprise {

// Shapes are [out, in]. D hidden, F intermediate, V vocabulary, Hq and Hkv heads of size d.
enum class TensorRole {
  kTokenEmbedding,     // [V, D]
  kPositionEmbedding,  // [position_rows, D]: OPT
  kInputRotation,   // [norm_dim, embedding_width], F32: Q_0 of a sliced model; the decoder has no use for it
  kOutputRotation,  // [norm_dim, D], F32: Q_L, likewise
  kRecycleHiddenNorm,       // [D]; this and the next two: recycle modules only
  kRecycleEmbeddingNorm,    // [D]
  kRecycleInputProjection,  // [D, 2D]
  kFinalNorm,               // [D]
  kFinalNormBias,           // [D]
  kHeadBias,                // [V]
  kHead,                    // [V, D]; absent when tied to the embedding
  kAttentionNorm,           // [D]; this and all below: one a layer
  kAttentionNormBias,       // [D]
  kQuery,                   // [Hq d, D]
  kKey,                     // [Hkv d, D]
  kValue,                   // [Hkv d, D]
  kQueryBias,               // [Hq d]
  kKeyBias,                 // [Hkv d]
  kValueBias,               // [Hkv d]
  kAttentionOutput,         // [D, Hq d]
  kAttentionOutputBias,     // [D]
  kQueryNorm,               // [d]
  kKeyNorm,                 // [d]
  kAttentionShortcut,       // [mid width (parallel: out width), in width]: sliced
  kMlpNorm,                 // [D]
  kMlpNormBias,             // [D]
  kGate,                    // [F, D]
  kUp,                      // [F, D]; fc1 where there is no gate
  kUpBias,                  // [F]
  kDown,                    // [D, F]
  kDownBias,                // [D]
  kMlpShortcut,             // [out width, mid width]: sliced
};
inline constexpr int kNumTensorRoles = 32;

// Whether there is one such tensor in each layer.
constexpr bool IsPerLayer(TensorRole role) {
  return role > TensorRole::kHead;
}

// How a container names its tensors: a Hugging Face class's way, or GGUF's.
enum class TensorNaming { kHuggingFace, kOpt, kPhi, kGguf };
TensorNaming NamingOf(const Checkpoint& checkpoint);
std::string TensorName(TensorNaming naming, TensorRole role, int layer);

// The name that `checkpoint`'s format gives the tensor: "blk.3.attn_q.weight" or
// "model.layers.3.self_attn.q_proj.weight". `layer` is ignored for the roles that no layer has.
std::string TensorName(const Checkpoint& checkpoint, TensorRole role, int layer);

// NOT_FOUND with the name that was looked for; UNIMPLEMENTED with the type when the tensor is there in a type
// that we cannot read. The pointer lives as long as the checkpoint.
Result<const TensorInfo*> FindTensor(const Checkpoint& checkpoint, TensorRole role, int layer = 0);

// Source row of each row of q or k in Hugging Face's order; see ModelConfig::gguf_permuted_qk.
std::vector<int> GgufRowOrder(int num_heads, int head_dim);

// DATA_LOSS: "tensor 'blk.3.attn_q.weight' has shape [576, 575], config says [576, 576]".
Status CheckShape(const TensorInfo& tensor, std::span<const std::int64_t> expected);

}  // namespace reprise
