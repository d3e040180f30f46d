// The device side of CUDA that our kernels use, for a host compiler: warp operations, votes, and the
// wrappers of dialect.h. Missing on purpose: __activemask (it has no meaning here), forms without _sync,
// cooperative groups.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/float_types.h"
#include "kernels/cuda/emulation/block.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

// A shared array: SHARED_ARRAY(float, sums, [8][32]).
#define SHARED_ARRAY(T, name, dimensions)                                                   \
  using name##_type_ = T dimensions;                                                        \
  static ::reprise::cuda_emulation::SharedArray* name##_array_;                             \
  name##_type_& name = *static_cast<name##_type_*>(::reprise::cuda_emulation::SharedMemory( \
      &name##_array_, sizeof(name##_type_), alignof(name##_type_), #name, {__FILE__, __LINE__}))
#define DYNAMIC_SHARED(T, name) \
  T* const name = static_cast<T*>(::reprise::cuda_emulation::DynamicSharedMemory())

namespace reprise::cuda_emulation {

// Numbers that tell warp operations apart.
enum WarpOperationId {
  kSyncWarp,
  kShuffleXor,
  kShuffleUp,
  kShuffle,
  kLoadMatrix,
  kLoadMatrixTransposed,
  kMma
};

template <typename T>
struct ShuffleOperand {
  T value;
  int argument;
};

// Lane i takes the value of lane `source(i, argument)`.
template <typename T, int (*kSource)(int lane, int argument)>
void ShuffleLanes(Thread* const* lanes, unsigned mask) {
  for (int i = 0; i < kWarpLanes; ++i) {
    if ((mask >> i & 1u) == 0) continue;
    const int source = kSource(i, static_cast<const ShuffleOperand<T>*>(lanes[i]->operand)->argument);
    if ((mask >> source & 1u) == 0)
      Fail("shuffle reads lane " + std::to_string(source) + ", which does not take part");
    *static_cast<T*>(lanes[i]->result) = static_cast<const ShuffleOperand<T>*>(lanes[source]->operand)->value;
  }
}
inline int XorSource(int lane, int argument) {
  return lane ^ argument;
}
inline int UpSource(int lane, int argument) {
  return lane < argument ? lane : lane - argument;
}
inline int IndexSource(int /*lane*/, int argument) {
  return argument & (kWarpLanes - 1);
}

inline void CountWarpSync(Thread* const* lanes, unsigned mask) {
  for (int i = 0; i < kWarpLanes; ++i) {
    if ((mask >> i & 1u) != 0) ++lanes[i]->warp_syncs;
  }
}

// ldmatrix.x4: matrix k of 8 x 8 16-bit elements has its rows at the addresses of lanes 8k .. 8k + 7; lane i
// gets elements (i / 4, 2 (i % 4) .. + 1) of each or, transposed, (2 (i % 4) .. + 1, i / 4).
template <bool kTransposed>
void LoadMatrixLanes(Thread* const* lanes, unsigned /*mask*/) {
  for (int i = 0; i < kWarpLanes; ++i) {
    for (int k = 0; k < 4; ++k) {
      std::uint16_t elements[2];
      for (int e = 0; e < 2; ++e) {
        const int row = kTransposed ? 2 * (i % 4) + e : i / 4;
        const int column = kTransposed ? i / 4 : 2 * (i % 4) + e;
        const char* row_data = static_cast<const char*>(lanes[8 * k + row]->operand);
        std::memcpy(&elements[e], row_data + 2 * column, 2);
      }
      std::memcpy(static_cast<std::uint32_t*>(lanes[i]->result) + k, elements, 4);
    }
  }
}

struct MmaOperand {
  std::uint32_t a[4];
  std::uint32_t b[2];
  float c[4];
};

inline void UnpackBf16(std::uint32_t pair, float* low, float* high) {
  *low = std::bit_cast<float>(pair << 16);
  *high = std::bit_cast<float>(pair & 0xffff0000u);
}

// mma.m16n8k16 on the documented register layout: with g = lane / 4 and t = 2 (lane % 4), a lane holds
// A[g + 8 (r % 2)][t + 8 (r / 2) ..+1] in a[r], B[t + 8 r ..+1][g] in b[r], C[g + 8 (r / 2)][t + r % 2] in
// c[r].
inline void MmaLanes(Thread* const* lanes, unsigned /*mask*/) {
  float a[16][16];
  float b[16][8];
  for (int i = 0; i < kWarpLanes; ++i) {
    const auto& operand = *static_cast<const MmaOperand*>(lanes[i]->operand);
    const int g = i / 4;
    const int t = i % 4 * 2;
    for (int r = 0; r < 4; ++r) {
      float* out = &a[g + r % 2 * 8][t + r / 2 * 8];
      UnpackBf16(operand.a[r], out, out + 1);
    }
    for (int r = 0; r < 2; ++r) UnpackBf16(operand.b[r], &b[t + 8 * r][g], &b[t + 8 * r + 1][g]);
  }
  for (int i = 0; i < kWarpLanes; ++i) {
    const auto& operand = *static_cast<const MmaOperand*>(lanes[i]->operand);
    for (int r = 0; r < 4; ++r) {
      const int row = i / 4 + r / 2 * 8;
      const int column = i % 4 * 2 + r % 2;
      float sum = operand.c[r];
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      static_cast<float*>(lanes[i]->result)[r] = sum;
    }
  }
}

}  // namespace reprise::cuda_emulation

// Default arguments are evaluated where the function is called: they name the kernel's own line.
#define REPRISE_CALLER const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(REPRISE_CALLER) {
  reprise::cuda_emulation::Barrier({file, line});
}
inline void __syncwarp(unsigned mask = ~0u, REPRISE_CALLER) {
  namespace emulation = reprise::cuda_emulation;
  emulation::WarpOperation(mask, emulation::kSyncWarp, nullptr, nullptr, &emulation::CountWarpSync,
                           {file, line});
}
namespace reprise::cuda_emulation {

template <int (*kSource)(int lane, int argument), typename T>
T ShuffleLane(WarpOperationId id, unsigned mask, T value, int argument, SourceLine at) {
  const ShuffleOperand<T> operand{value, argument};
  T result;
  WarpOperation(mask, id, &operand, &result, &ShuffleLanes<T, kSource>, at);
  return result;
}

}  // namespace reprise::cuda_emulation

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, REPRISE_CALLER) {
  namespace emulation = reprise::cuda_emulation;
  return emulation::ShuffleLane<emulation::XorSource>(emulation::kShuffleXor, mask, value, lane_mask,
                                                      {file, line});
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, int distance, REPRISE_CALLER) {
  namespace emulation = reprise::cuda_emulation;
  return emulation::ShuffleLane<emulation::UpSource>(emulation::kShuffleUp, mask, value, distance,
                                                     {file, line});
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, REPRISE_CALLER) {
  namespace emulation = reprise::cuda_emulation;
  return emulation::ShuffleLane<emulation::IndexSource>(emulation::kShuffle, mask, value, lane, {file, line});
}

// One thread runs at a time. The access checker does not see it: it would take it for a race.
template <typename T>
[[gnu::noinline, gnu::no_sanitize("thread")]] T atomicAdd(T* address, T value) {
  const T before = *address;
  *address = before + value;
  return before;
}

inline int min(int a, int b) {
  return a < b ? a : b;
}
template <typename T>
T __ldcs(const T* address) {
  return *address;
}
inline std::uint32_t __float_as_uint(float value) {
  return std::bit_cast<std::uint32_t>(value);
}
inline float __uint_as_float(std::uint32_t bits) {
  return std::bit_cast<float>(bits);
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}

namespace reprise::cuda {

inline float HalfToFloat(std::uint16_t bits) {
  return Fp16ToFloat(bits);
}

inline void CopyAsync16(void* shared, const void* global) {
  cuda_emulation::IssueCopy(shared, global);
}
inline void CommitAsyncCopies() {
  cuda_emulation::CommitCopies();
}
template <int kGroupsLeft>
void WaitForAsyncCopies() {
  cuda_emulation::WaitForCopies(kGroupsLeft);
}

template <bool kTransposed>
void LoadMatrixEmulated(std::uint32_t (&fragment)[4], const void* row, cuda_emulation::SourceLine at) {
  if ((reinterpret_cast<std::uintptr_t>(row) & 15u) != 0) cuda_emulation::Fail("ldmatrix: misaligned row");
  if (cuda_emulation::check_access != nullptr)
    cuda_emulation::check_access(row, 16, cuda_emulation::Access::kRead);
  const int operation = kTransposed ? cuda_emulation::kLoadMatrixTransposed : cuda_emulation::kLoadMatrix;
  cuda_emulation::WarpOperation(~0u, operation, row, fragment, &cuda_emulation::LoadMatrixLanes<kTransposed>,
                                at);
}
inline void LoadMatrix(std::uint32_t (&fragment)[4], const void* row, REPRISE_CALLER) {
  LoadMatrixEmulated<false>(fragment, row, {file, line});
}
inline void LoadMatrixTransposed(std::uint32_t (&fragment)[4], const void* row, REPRISE_CALLER) {
  LoadMatrixEmulated<true>(fragment, row, {file, line});
}

inline void MmaBf16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], REPRISE_CALLER) {
  cuda_emulation::MmaOperand operand;
  std::memcpy(operand.a, a, sizeof(a));
  std::memcpy(operand.b, b, sizeof(b));
  std::memcpy(operand.c, c, sizeof(c));
  cuda_emulation::WarpOperation(~0u, cuda_emulation::kMma, &operand, c, &cuda_emulation::MmaLanes,
                                {file, line});
}

// Fused, rounded once: the sum is exact in double for the operands that kernels use.
inline std::uint32_t FmaBf16x2(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  std::uint32_t result = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    const auto half = [shift](std::uint32_t pair) {
      return static_cast<double>(Bf16ToFloat(static_cast<std::uint16_t>(pair >> shift)));
    };
    const std::uint16_t rounded = FloatToBf16(static_cast<float>(half(a) * half(b) + half(c)));
    result |= std::uint32_t{rounded} << shift;
  }
  return result;
}

}  // namespace reprise::cuda
