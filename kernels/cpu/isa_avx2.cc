// The AVX2 leg (with FMA and F16C). Compiled with those flags: see kernel_table.h for what that forbids.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa_macros.h"
#include "kernels/cpu/kernel_table.h"

namespace reprise {
namespace avx2 {
namespace {

// Sixteen registers: fewer rows and shorter vectors at once than with AVX-512.
constexpr int kFloatPanelRows = 4;
constexpr int kQuantizedPanelRows = 6;
template <int kRows>
constexpr int kFloatHalves = kRows == 1 ? 2 : 1;
template <int kRows>
constexpr int kScoreTiles = kRows <= 2 ? 2 : 1;
template <int kRows>
constexpr int kValueVecs = kRows <= 2 ? 2 : 1;

// Each builds on those before it.
// clang-format off
#include "kernels/cpu/vec_eight-inl.h"
#include "kernels/cpu/vec_avx2-inl.h"
#include "kernels/cpu/partial-inl.h"
#include "kernels/cpu/exp-inl.h"
#include "kernels/cpu/elementwise-inl.h"
#include "kernels/cpu/panel-inl.h"
#include "kernels/cpu/peak-inl.h"
#include "kernels/cpu/prefetch-inl.h"
#include "kernels/cpu/matmul_float-inl.h"
#include "kernels/cpu/matmul_avx2-inl.h"
#include "kernels/cpu/attention-inl.h"
#include "kernels/cpu/attention_merge-inl.h"
// clang-format on

template <WeightType kType, int kRows>
constexpr MatMulKernel QuantizedKernel() {
  return MatMulAvx2<kType, kRows>;
}

constexpr PeakLoop kPeakIntegers = PeakBytePairs;

#include "kernels/cpu/kernel_table-inl.h"

constexpr KernelTable kTable = MakeKernelTable("avx2");

}  // namespace
}  // namespace avx2

const KernelTable& Avx2Kernels() {
  return avx2::kTable;
}

}  // namespace reprise
