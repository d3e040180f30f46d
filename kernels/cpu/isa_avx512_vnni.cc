// The AVX-512 leg (F, BW, VL, DQ and VNNI). Compiled with those flags: see kernel_table.h for what that
// forbids.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa_macros.h"
#include "kernels/cpu/kernel_table.h"

namespace reprise {
namespace avx512_vnni {
namespace {

constexpr int kFloatPanelRows = 6;
constexpr int kQuantizedPanelRows = 6;
template <int kRows>
constexpr int kFloatHalves = 2;
template <int kRows>
constexpr int kScoreTiles = kRows <= 2 ? 8 : 4;
template <int kRows>
constexpr int kValueVecs = 4;

// Each builds on those before it.
// clang-format off
#include "kernels/cpu/vec_eight-inl.h"
#include "kernels/cpu/vec_avx512-inl.h"
#include "kernels/cpu/partial-inl.h"
#include "kernels/cpu/exp-inl.h"
#include "kernels/cpu/elementwise-inl.h"
#include "kernels/cpu/panel-inl.h"
#include "kernels/cpu/peak-inl.h"
#include "kernels/cpu/prefetch-inl.h"
#include "kernels/cpu/matmul_float-inl.h"
#include "kernels/cpu/matmul_vnni-inl.h"
#include "kernels/cpu/attention-inl.h"
#include "kernels/cpu/attention_merge-inl.h"
// clang-format on

template <WeightType kType, int kRows>
constexpr MatMulKernel QuantizedKernel() {
  return MatMulVnni<kType, kRows>;
}

constexpr PeakLoop kPeakIntegers = PeakVnni;

#include "kernels/cpu/kernel_table-inl.h"

constexpr KernelTable kTable = MakeKernelTable("avx512-vnni");

}  // namespace
}  // namespace avx512_vnni

const KernelTable& Avx512VnniKernels() {
  return avx512_vnni::kTable;
}

}  // namespace reprise
