// What attention over a part of the keys leaves, and how two parts become one. Every merge, in registers or
// out of memory, goes through MergeStates: equal inputs in equal order give equal bits.
#pragma once

#include "kernels/cuda/device_math.h"

namespace reprise::cuda {

// Maximum score, and sum of exp(score - maximum).
struct SoftmaxState {
  float maximum;
  float sum;
};

struct MergeWeights {
  float first;
  float second;
};

__device__ __forceinline__ SoftmaxState EmptyState() {
  return {-INFINITY, 0.0f};
}

// *state becomes that of both parts; values of both are to be combined with MergeValues under the weights
// returned. An empty part changes no bit of the other.
__device__ __forceinline__ MergeWeights MergeStates(SoftmaxState* state, const SoftmaxState& other) {
  const float maximum = fmaxf(state->maximum, other.maximum);
  const MergeWeights weights = {state->maximum == -INFINITY ? 0.0f : expf(state->maximum - maximum),
                                other.maximum == -INFINITY ? 0.0f : expf(other.maximum - maximum)};
  state->maximum = maximum;
  state->sum = fmaf(state->sum, weights.first, __fmul_rn(other.sum, weights.second));
  return weights;
}

__device__ __forceinline__ float MergeValues(float first, float second, const MergeWeights& weights) {
  return fmaf(first, weights.first, __fmul_rn(second, weights.second));
}

}  // namespace reprise::cuda
