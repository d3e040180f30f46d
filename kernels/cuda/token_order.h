// What the kernels that draw tokens share: where a row lies, how its tokens are ordered, and the noise of
// base/noise.h.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda/device_math.h"
#include "kernels/cuda/draw_kernels.h"

namespace reprise::cuda {

inline constexpr int kDrawThreads = 512;

// A value and the column it belongs to as one number: the larger the value and, of equals, the lower the
// column, the larger the key. 0 for what never wins: NaN and -infinity.
using TokenKey = unsigned long long;

__device__ __forceinline__ TokenKey MakeKey(float value, unsigned column) {
  if (!(value > -INFINITY)) return 0;
  const std::uint32_t bits = __float_as_uint(__fadd_rn(value, 0.0f));  // -0 is 0
  const std::uint32_t ascending = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<TokenKey>(ascending) << 32 | (0xffffffffu - column);
}
__device__ __forceinline__ int ColumnOf(TokenKey key) {
  return static_cast<int>(0xffffffffu - static_cast<std::uint32_t>(key));
}
__device__ __forceinline__ float ValueOf(TokenKey key) {
  const auto ascending = static_cast<std::uint32_t>(key >> 32);
  return __uint_as_float((ascending & 0x80000000u) != 0 ? ascending & 0x7fffffffu : ~ascending);
}

// Row `row` as it is drawn from: adjusted.
__device__ __forceinline__ float* AdjustedRow(const DrawParameters& p, int row) {
  const RowDraw& draw = p.rows[row];
  if (draw.keep != nullptr) return draw.keep;
  if (IsAdjusted(draw)) return p.adjusted + row * static_cast<std::int64_t>(p.columns);
  return nullptr;
}
__device__ __forceinline__ const float* RowToDrawFrom(const DrawParameters& p, int row) {
  const float* adjusted = AdjustedRow(p, row);
  return adjusted != nullptr ? adjusted : p.logits + row * p.stride;
}

// A token that the host may know as a stand-in only.
__device__ __forceinline__ TokenId Resolved(const DrawParameters& p, TokenId token) {
  return token >= 0 ? token : p.drawn[-1 - token];
}
// How the row's token is drawn: with its drafted token, and without one where there was none to draw.
__device__ __forceinline__ RowDraw RowOf(const DrawParameters& p, int row) {
  RowDraw draw = p.rows[row];
  if (!JudgesDraft(draw)) return draw;
  draw.drafted = Resolved(p, draw.drafted);
  if (draw.drafted < 0) draw.rule = DrawRule::kSample;
  return draw;
}

__device__ __forceinline__ int TokenOf(const TokenId* ids, int column) {
  return ids != nullptr ? ids[column] : column;
}
// The column of a token, -1 where there is none.
__device__ __forceinline__ int ColumnOfToken(const TokenId* ids, int columns, TokenId token) {
  if (ids == nullptr) return token < columns ? token : -1;
  int begin = 0;
  for (int end = columns; begin < end;) {
    const int middle = (begin + end) / 2;
    if (ids[middle] < token) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin < columns && ids[begin] == token ? begin : -1;
}

// The best key of a row, 0 where no value is finite; `key_of` a column. For all threads.
template <typename KeyOf>
__device__ TokenKey BestKey(int columns, KeyOf key_of) {
  TokenKey best = 0;
  for (int i = static_cast<int>(threadIdx.x); i < columns; i += kDrawThreads)
    best = Largest()(best, key_of(i));
  return BlockReduce<kDrawThreads>(best, Largest());
}

__device__ __forceinline__ std::uint64_t MixBitsOnDevice(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}
__device__ __forceinline__ float GumbelOnDevice(std::uint64_t stream, int token) {
  const std::uint64_t key = 0x2545f4914f6cdd1dull * (static_cast<std::uint32_t>(token) + 1ull);
  const auto bits = static_cast<float>(MixBitsOnDevice(stream ^ key) >> 41);
  const double u = __fmul_rn(__fadd_rn(bits, 0.5f), 1.0f / 8388608.0f);
  return static_cast<float>(-log(-log(u)));
}
__device__ __forceinline__ double UniformOnDevice(std::uint64_t stream) {
  return static_cast<double>(MixBitsOnDevice(stream) >> 11) * (1.0 / 9007199254740992.0);  // 2^-53
}

}  // namespace reprise::cuda
