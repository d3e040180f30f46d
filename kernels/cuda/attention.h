// Paged attention on the tensor cores.
//
// A warp takes 16 rows (query head x token) and walks over tiles of 64 keys. Each tile gives a state: its
// maximum score m, the sum l of exp(score - m), and the values weighted with it. States are merged in
// ascending order of tiles (Milakov and Gimelshein, 2018; the merge is that of FlashDecoding and FlashInfer),
// either in registers, by the block that has computed them all, or by a second kernel when the keys are split
// over blocks. Both merge with the same operations, so that a row's bits depend on its keys alone: not on how
// a prompt was cut into chunks, nor on what else is in the batch.
//
// Queries and exp(score - m) are split into two bf16 each, and so are keys and values of a float cache.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/stream.h"

namespace reprise::cuda {

// Largest head_dim there is a kernel for.
inline constexpr int kMaxHeadDim = 256;

// Bytes of scratch memory for that many partial results of every kv head.
std::size_t PartialBytes(const AttentionShape& shape, int num_partials);

// The Backend's Attention. `partials`: room for those of the plan.
void RunAttention(Stream& stream, const AttentionArgs& args, const CudaAttentionPlan& plan, float* partials);

}  // namespace reprise::cuda
