// Small device functions that kernels share. Sums run in one fixed order, whatever the launch.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda/dialect.h"

namespace reprise::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

__device__ __forceinline__ float Bf16BitsToFloat(std::uint32_t bits) {
  return __uint_as_float(bits << 16);
}

// Round to nearest even, as base/float_types.h does.
__device__ __forceinline__ std::uint32_t RoundToBf16Bits(float value) {
  const std::uint32_t bits = __float_as_uint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

// A float as the sum of two bf16, which together keep 16 significant bits; see docs/cuda.md.
struct Bf16Split {
  std::uint32_t high;
  std::uint32_t low;
};
__device__ __forceinline__ Bf16Split SplitBf16(float value) {
  const std::uint32_t high = RoundToBf16Bits(value);
  return {high, RoundToBf16Bits(value - Bf16BitsToFloat(high))};
}

__device__ __forceinline__ float WarpSum(float value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value = __fadd_rn(value, __shfl_xor_sync(kAllLanes, value, distance));
  return value;
}

// The sum over a block of kThreads threads, for all of them.
template <int kThreads>
__device__ float BlockSum(float value) {
  SHARED_ARRAY(float, sums, [kThreads / kWarp]);
  value = WarpSum(value);
  if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = value;
  __syncthreads();
  float sum = 0.0f;
#pragma unroll
  for (int warp = 0; warp < kThreads / kWarp; ++warp) sum = __fadd_rn(sum, sums[warp]);
  __syncthreads();
  return sum;
}

}  // namespace reprise::cuda
