// The AVX-512 leg of a CPU that also multiplies bfloat16 (AVX512_BF16): products with such weights are its
// own, the rest is the VNNI leg's. Compiled with those flags: see kernel_table.h for what that forbids.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa_macros.h"
#include "kernels/cpu/kernel_table.h"

namespace reprise {
namespace avx512_bf16 {
namespace {

// 24 registers of sums, two of weights and one of activations.
constexpr int kBf16PanelRows = 12;

// Each builds on those before it.
// clang-format off
#include "kernels/cpu/prefetch-inl.h"
#include "kernels/cpu/matmul_bf16-inl.h"
#include "kernels/cpu/bf16_table-inl.h"
// clang-format on

}  // namespace
}  // namespace avx512_bf16

const KernelTable& Avx512Bf16Kernels() {
  static const KernelTable table = [] {
    KernelTable own = avx512_bf16::WithBf16(Avx512VnniKernels());
    own.name = "avx512-bf16";
    return own;
  }();
  return table;
}

}  // namespace reprise
