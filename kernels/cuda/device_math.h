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

struct Sum {
  __device__ float operator()(float a, float b) const { return __fadd_rn(a, b); }
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Largest {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

template <typename T, typename Combine>
__device__ __forceinline__ T WarpReduce(T value, Combine combine) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value = combine(value, __shfl_xor_sync(kAllLanes, value, distance));
  return value;
}
__device__ __forceinline__ float WarpSum(float value) {
  return WarpReduce(value, Sum());
}

// The sum of the values of this lane and those before it.
template <typename T>
__device__ __forceinline__ T WarpPrefixSum(T value) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const T before = __shfl_up_sync(kAllLanes, value, distance);
    if (lane >= distance) value = before + value;
  }
  return value;
}

// Over a block of kThreads threads, for all of them.
template <int kThreads, typename T, typename Combine>
__device__ T BlockReduce(T value, Combine combine) {
  SHARED_ARRAY(T, of_warps, [kThreads / kWarp]);
  value = WarpReduce(value, combine);
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = of_warps[0];
#pragma unroll
  for (int warp = 1; warp < kThreads / kWarp; ++warp) value = combine(value, of_warps[warp]);
  __syncthreads();
  return value;
}

}  // namespace reprise::cuda
