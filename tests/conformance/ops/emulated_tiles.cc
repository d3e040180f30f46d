// Compiled with the AVX-512 flags like kernels/cpu/isa_amx.cc, from which it differs in the tile unit and in
// using that for integers from two rows on.
#include "tests/conformance/ops/emulated_tiles.h"

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa_macros.h"
#include "tests/conformance/ops/flushed_float.h"

namespace reprise {
namespace amx_emulated {
namespace {

constexpr int kFloatPanelRows = 1;
constexpr int kVnniPanelRows = 1;
constexpr int kQuantizedPanelRows = kMaxPanelRows;
constexpr int kBf16PanelRows = kMaxPanelRows;
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

// Column `column` of row `row` of bfloat16 [rows][32].
float Bf16At(const std::byte* x, int row, int column) {
  std::uint16_t upper;
  __builtin_memcpy(&upper, x + 64 * row + 2 * column, sizeof(upper));
  const std::uint32_t bits = std::uint32_t{upper} << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
}

// What tdpbf16ps computes, as kernels/cpu/bf16_tiles_hardware-inl.h uses it (Intel SDM, volume 2, TDPBF16PS).
template <int kRows>
struct Bf16Tiles {
  void Begin() {}
  void Begin(const float* sums, std::ptrdiff_t stride) {
    for (int m = 0; m < kRows; ++m) __builtin_memcpy(sum[m], sums + stride * m, sizeof(sum[m]));
  }
  // Row n of the weights lies in lines of two columns, as row 2i + n / 16 of [32][32], at column 2 (n % 16).
  void Multiply(const std::byte* x, const std::byte* lines) {
    for (int m = 0; m < kRows; ++m) {
      for (int n = 0; n < 32; ++n) {
        float even = 0.0f;
        float odd = 0.0f;
        for (int i = 0; i < 16; ++i) {
          even = test::FlushedFma(Bf16At(x, m, 2 * i), Bf16At(lines, 2 * i + n / 16, n % 16 * 2), even);
          odd = test::FlushedFma(Bf16At(x, m, 2 * i + 1), Bf16At(lines, 2 * i + n / 16, n % 16 * 2 + 1), odd);
        }
        sum[m][n] = test::FlushedSum(sum[m][n], test::FlushedSum(even, odd));
      }
    }
  }
  void End(float* sums, std::ptrdiff_t stride) {
    for (int m = 0; m < kRows; ++m) __builtin_memcpy(sums + stride * m, sum[m], sizeof(sum[m]));
  }

  float sum[kRows][32] = {};
};
std::int64_t PeakBf16(int) {
  return 0;
}

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

constexpr KernelTable kTable = WithBf16(MakeKernelTable("amx-emulated"));

}  // namespace
}  // namespace amx_emulated

namespace test {

const KernelTable& EmulatedAmxKernels() {
  return amx_emulated::kTable;
}

}  // namespace test
}  // namespace reprise
