// Compiled with the AVX-512 flags like kernels/cpu/isa_amx.cc, from which it differs in the tile unit and in
// using that for two rows and more.
#include "tests/conformance/ops/emulated_tiles.h"

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa_macros.h"

namespace reprise {
namespace amx_emulated {
namespace {

constexpr int kFloatPanelRows = 1;
constexpr int kVnniPanelRows = 1;
constexpr int kQuantizedPanelRows = kMaxPanelRows;
template <int kRows>
constexpr int kFloatHalves = 2;
template <int kRows>
constexpr int kScoreTiles = 1;
template <int kRows>
constexpr int kValueVecs = 1;

// What tdpbsud computes, as kernels/cpu/tiles_hardware-inl.h uses it (Intel SDM, volume 2, TDPBSSD/TDPBSUD).
struct Tiles {
  static void Begin() {}
  static void End() {}

  static void DotGroups(const std::byte* q, const std::byte* lines, int groups,
                        std::int32_t (&dots)[2][16][16]) {
    for (int h = 0; h < 2; ++h) {
      for (int m = 0; m < 16; ++m) {
        for (int n = 0; n < 16; ++n) {
          std::int32_t sum = 0;
          for (int k = 0; k < 4 * groups; ++k) {
            const auto activation = static_cast<std::int8_t>(q[32 * m + k]);
            const auto code = static_cast<std::uint8_t>(lines[128 * (k / 4) + 64 * h + 4 * n + k % 4]);
            sum += activation * code;
          }
          dots[h][m][n] = sum;
        }
      }
    }
  }
  static void Dot(const std::byte* q, const std::byte* lines, std::int32_t (&dots)[2][16][16]) {
    DotGroups(q, lines, 8, dots);
  }
  static void DotHalf(const std::byte* q, const std::byte* lines, std::int32_t (&dots)[2][16][16]) {
    DotGroups(q, lines, 4, dots);
  }
  static std::int64_t Peak(int) { return 0; }
};

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
#include "kernels/cpu/matmul_tiles-inl.h"
#include "kernels/cpu/attention-inl.h"
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

#include "kernels/cpu/kernel_table-inl.h"

constexpr KernelTable kTable = MakeKernelTable("amx-emulated");

}  // namespace
}  // namespace amx_emulated

namespace test {

const KernelTable& EmulatedAmxKernels() {
  return amx_emulated::kTable;
}

}  // namespace test
}  // namespace reprise
