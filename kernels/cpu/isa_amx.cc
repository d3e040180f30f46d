// The AMX leg: AVX-512 with VNNI, int8 tiles for seven and more activation rows, and bfloat16 tiles for any
// number. Compiled with those flags: see kernel_table.h for what that forbids.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa_macros.h"
#include "kernels/cpu/kernel_table.h"

namespace reprise {
namespace amx {
namespace {

constexpr int kFloatPanelRows = 6;
constexpr int kVnniPanelRows = 6;
constexpr int kQuantizedPanelRows = kMaxPanelRows;
constexpr int kBf16PanelRows = kMaxPanelRows;
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
#include "kernels/cpu/tiles_hardware-inl.h"
#include "kernels/cpu/matmul_tiles-inl.h"
#include "kernels/cpu/bf16_tiles_hardware-inl.h"
#include "kernels/cpu/matmul_bf16_tiles-inl.h"
#include "kernels/cpu/attention-inl.h"
#include "kernels/cpu/attention_merge-inl.h"
// clang-format on

template <WeightType kType, int kRows>
constexpr MatMulKernel QuantizedKernel() {
  if constexpr (kRows <= kVnniPanelRows) {
    return MatMulVnni<kType, kRows>;
  } else {
    return MatMulTiles<kType, kRows>;
  }
}

constexpr PeakLoop kPeakIntegers = PeakTiles;

// clang-format off
#include "kernels/cpu/kernel_table-inl.h"
#include "kernels/cpu/bf16_table-inl.h"
// clang-format on

constexpr KernelTable kTable = WithBf16(MakeKernelTable("amx"));

}  // namespace
}  // namespace amx

const KernelTable& AmxKernels() {
  return amx::kTable;
}

}  // namespace reprise
