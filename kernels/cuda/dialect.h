// What kernel sources include: CUDA as nvcc has it, or the same names for a host compiler that runs kernels
// on the CPU (kernels/cuda/emulation). Rules for sources that must do both:
//   - kernels take one plain struct; they are started with Launch (launch.h), never with <<<>>>
//   - SHARED_ARRAY and DYNAMIC_SHARED instead of __shared__
//   - *_sync forms with full masks; exits uniform over the warp, before a barrier over the block; one barrier
//     to a source line; no spinning on other blocks
//   - PTX only in the wrappers below, which have a twin in emulation/device_functions.h
//   - 16-bit floats are held as std::uint16_t and computed with as float
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define SHARED_ARRAY(T, name, dimensions) __shared__ T name dimensions
#define DYNAMIC_SHARED(T, name)                                         \
  extern __shared__ __align__(128) unsigned char reprise_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(reprise_dynamic_shared)

namespace reprise::cuda {

__device__ __forceinline__ float HalfToFloat(std::uint16_t bits) {
  return __half2float(__ushort_as_half(bits));
}

__device__ __forceinline__ unsigned SharedAddress(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

// Starts a copy of 16 bytes, both ends 16-byte aligned; sm_80.
__device__ __forceinline__ void CopyAsync16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(SharedAddress(shared)), "l"(global)
               : "memory");
}
__device__ __forceinline__ void CommitAsyncCopies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Waits until at most kGroupsLeft of this thread's committed groups are in flight; others' copies are seen
// only after a barrier.
template <int kGroupsLeft>
__device__ __forceinline__ void WaitForAsyncCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroupsLeft) : "memory");
}

// ldmatrix.x4: four 8 x 8 matrices of 16-bit elements whose rows of 16 bytes lie at the lanes' addresses.
__device__ __forceinline__ void LoadMatrix(std::uint32_t (&fragment)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
               : "r"(SharedAddress(row))
               : "memory");
}
__device__ __forceinline__ void LoadMatrixTransposed(std::uint32_t (&fragment)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
               : "r"(SharedAddress(row))
               : "memory");
}

// c += a b on the tensor cores: a [16, 16] and b [16, 8] of bf16, c [16, 8] of float, in the register layout
// of mma.m16n8k16.
__device__ __forceinline__ void MmaBf16(float (&c)[4], const std::uint32_t (&a)[4],
                                        const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// a b + c for two bf16 in a register each.
__device__ __forceinline__ std::uint32_t FmaBf16x2(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  std::uint32_t result;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  return result;
}

}  // namespace reprise::cuda

#else
#include "kernels/cuda/emulation/device_functions.h"
#endif
