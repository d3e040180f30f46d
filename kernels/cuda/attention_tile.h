// One tile of 64 keys: from the paged cache into shared memory, and a warp's 16 rows against it.
#pragma once

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/attention_state.h"
#include "kernels/cuda/kv_cache.h"

namespace reprise::cuda {

struct AttentionParameters {
  KvView kv;
  const float* queries;
  float* out;
  float* partials;
  const AttentionItem* items;
  const int* query_start;
  const int* context_len;
  const int* block_start;
  const BlockId* block_ids;
  std::int64_t query_stride;
  std::int64_t out_stride;
  int group;   // query heads that share a kv head
  int window;  // 0: none
  float scale;
  int unused;
};

// Elements of a row in shared memory: 16 bytes more than it holds, so that the eight rows that LoadMatrix reads
// at a time lie in different banks.
REPRISE_HOST_DEVICE constexpr int SharedStride(int dim) {
  return dim + 8;
}

// The block's shared memory: keys and values [64, stride], those of a float cache in two parts; behind them
// the queries' high and low parts [rows, stride].
template <int kDimTiles, bool kFloatKv>
struct SharedTiles {
  static constexpr int kTile = kKeyTile * SharedStride(kDimTiles * 16);

  __device__ explicit SharedTiles(std::uint16_t* shared)
      : keys(shared),
        values(shared + kTile),
        keys_low(shared + 2 * kTile),
        values_low(shared + 3 * kTile),
        queries(shared + (kFloatKv ? 4 : 2) * kTile) {}

  static constexpr std::size_t Bytes(int warps) {
    const int queries = 2 * warps * kRowTile * SharedStride(kDimTiles * 16);
    return sizeof(std::uint16_t) * static_cast<std::size_t>((kFloatKv ? 4 : 2) * kTile + queries);
  }

  std::uint16_t* keys;
  std::uint16_t* values;
  std::uint16_t* keys_low;    // of a float cache
  std::uint16_t* values_low;  // of a float cache
  std::uint16_t* queries;
};

// A warp's 16 rows in the layout of mma.m16n8k16's accumulators: of lane 4 g + t, values[n][2 h + i] is element
// 8 n + 2 t + i of row g + 8 h, and softmax[h] that row's state.
template <int kDimTiles>
struct TileState {
  float values[2 * kDimTiles][4];
  SoftmaxState softmax[2];

  __device__ __forceinline__ void Clear() {
    softmax[0] = softmax[1] = EmptyState();
#pragma unroll
    for (int n = 0; n < 2 * kDimTiles; ++n) values[n][0] = values[n][1] = values[n][2] = values[n][3] = 0.0f;
  }

  __device__ __forceinline__ void Merge(const TileState& other) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const MergeWeights weights = MergeStates(&softmax[half], other.softmax[half]);
#pragma unroll
      for (int n = 0; n < 2 * kDimTiles; ++n) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i)
          values[n][i] = MergeValues(values[n][i], other.values[n][i], weights);
      }
    }
  }
};

// Eight elements of a row of keys or values, or zeros, to shared memory.
template <bool kFloatKv>
__device__ __forceinline__ void LoadEight(const KvView& kv, const std::byte* base, std::int64_t at, int count,
                                          std::uint16_t* high, std::uint16_t* low) {
  if (!kFloatKv && count == 8 && kv.head_dim % 8 == 0) {
    CopyAsync16(high, reinterpret_cast<const std::uint16_t*>(base) + at);
    return;
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    if (kFloatKv) {
      const Bf16Split split = SplitBf16(i < count ? reinterpret_cast<const float*>(base)[at + i] : 0.0f);
      high[i] = static_cast<std::uint16_t>(split.high);
      low[i] = static_cast<std::uint16_t>(split.low);
    } else {
      high[i] = i < count ? reinterpret_cast<const std::uint16_t*>(base)[at + i] : std::uint16_t{0};
    }
  }
}

// Keys and values of positions first_key .. first_key + 63 of a sequence, zeros from `keys` on: what lies
// behind a sequence's end may be NaN, which no weight of 0 would make harmless.
template <int kDimTiles, bool kFloatKv>
__device__ void LoadKeyTile(const AttentionParameters& p, const BlockId* block_ids, int first_key, int keys,
                            const SharedTiles<kDimTiles, kFloatKv>& tiles) {
  constexpr int kDim = kDimTiles * 16;
  constexpr int kChunks = kDim / 8;
  const KvView& kv = p.kv;
  for (int i = static_cast<int>(threadIdx.x); i < kKeyTile * kChunks; i += static_cast<int>(blockDim.x)) {
    const int row = i / kChunks;
    const int d = i % kChunks * 8;
    const int position = first_key + row;
    int count = 0;
    std::int64_t at = 0;
    if (position < keys && d < kv.head_dim) {
      count = min(8, kv.head_dim - d);
      const int slot = block_ids[position / kv.block_size] * kv.block_size + position % kv.block_size;
      at = KvOffset(kv, slot, static_cast<int>(blockIdx.y)) + d;
    }
    const int to = row * SharedStride(kDim) + d;
    LoadEight<kFloatKv>(kv, kv.keys, at, count, tiles.keys + to, tiles.keys_low + to);
    LoadEight<kFloatKv>(kv, kv.values, at, count, tiles.values + to, tiles.values_low + to);
  }
}

// Addresses for LoadMatrix of a 16 x 16 tile whose four 8 x 8 matrices come in the order top left, bottom
// left, top right, bottom right (an A operand, or, transposed, two B operands one beside the other) ...
__device__ __forceinline__ const std::uint16_t* ColumnOrder(const std::uint16_t* tile, int stride) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  return tile + lane % 16 * stride + lane / 16 * 8;
}
// ... and top left, top right, bottom left, bottom right (two B operands one above the other).
__device__ __forceinline__ const std::uint16_t* RowOrder(const std::uint16_t* tile, int stride) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  return tile + (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8;
}

// c[0] += a times the first B operand of `pair`, c[1] += a times the second.
__device__ __forceinline__ void MmaPair(float (*c)[4], const std::uint32_t (&a)[4],
                                        const std::uint32_t (&pair)[4]) {
  const std::uint32_t first[2] = {pair[0], pair[1]};
  const std::uint32_t second[2] = {pair[2], pair[3]};
  MmaBf16(c[0], a, first);
  MmaBf16(c[1], a, second);
}

// scores[n][2 h + i]: key 8 n + 2 t + i and row g + 8 h, before scaling.
template <int kDimTiles, bool kFloatKv>
__device__ __forceinline__ void Scores(const SharedTiles<kDimTiles, kFloatKv>& tiles,
                                       const std::uint16_t* query_high, const std::uint16_t* query_low,
                                       float (&scores)[kKeyTile / 8][4]) {
  constexpr int kStride = SharedStride(kDimTiles * 16);
#pragma unroll
  for (int n = 0; n < kKeyTile / 8; ++n) scores[n][0] = scores[n][1] = scores[n][2] = scores[n][3] = 0.0f;
#pragma unroll
  for (int k = 0; k < kDimTiles; ++k) {
    std::uint32_t high[4], low[4];
    LoadMatrix(high, ColumnOrder(query_high + 16 * k, kStride));
    LoadMatrix(low, ColumnOrder(query_low + 16 * k, kStride));
#pragma unroll
    for (int pair = 0; pair < kKeyTile / 16; ++pair) {
      const int at = pair * 16 * kStride + 16 * k;
      std::uint32_t keys[4];
      LoadMatrix(keys, RowOrder(tiles.keys + at, kStride));
      MmaPair(&scores[2 * pair], high, keys);
      MmaPair(&scores[2 * pair], low, keys);
      if (kFloatKv) {
        LoadMatrix(keys, RowOrder(tiles.keys_low + at, kStride));
        MmaPair(&scores[2 * pair], high, keys);
      }
    }
  }
}

// Reduces over the four lanes that share a row.
__device__ __forceinline__ float QuadMax(float value) {
  value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, 1));
  return fmaxf(value, __shfl_xor_sync(kAllLanes, value, 2));
}
__device__ __forceinline__ float QuadSum(float value) {
  value = __fadd_rn(value, __shfl_xor_sync(kAllLanes, value, 1));
  return __fadd_rn(value, __shfl_xor_sync(kAllLanes, value, 2));
}

// Scales and masks the scores, then turns them into exp(score - maximum).
__device__ __forceinline__ void Softmax(const AttentionParameters& p, int first_key, const int (&last_key)[2],
                                        float (&scores)[kKeyTile / 8][4], SoftmaxState (&softmax)[2]) {
  const int column = static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int last = last_key[half];
    const int first = p.window > 0 ? last - p.window + 1 : 0;
    float maximum = -INFINITY;
#pragma unroll
    for (int n = 0; n < kKeyTile / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int key = first_key + 8 * n + column + i;
        float& score = scores[n][2 * half + i];
        score = key <= last && key >= first ? __fmul_rn(score, p.scale) : -INFINITY;
        maximum = fmaxf(maximum, score);
      }
    }
    maximum = QuadMax(maximum);
    float sum = 0.0f;
#pragma unroll
    for (int n = 0; n < kKeyTile / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float& score = scores[n][2 * half + i];
        score = score == -INFINITY ? 0.0f : expf(score - maximum);
        sum = __fadd_rn(sum, score);
      }
    }
    softmax[half] = {maximum, QuadSum(sum)};
  }
}

// Weights of 16 keys, n and n + 1 in the accumulators' layout, as a first operand in two parts.
__device__ __forceinline__ void SplitWeights(const float (*weights)[4], std::uint32_t (&high)[4],
                                             std::uint32_t (&low)[4]) {
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const float* pair = weights[r / 2] + r % 2 * 2;
    const Bf16Split first = SplitBf16(pair[0]);
    const Bf16Split second = SplitBf16(pair[1]);
    high[r] = first.high | second.high << 16;
    low[r] = first.low | second.low << 16;
  }
}

// A warp's 16 rows against the tile in shared memory.
template <int kDimTiles, bool kFloatKv>
__device__ __forceinline__ void AttendTile(const AttentionParameters& p,
                                           const SharedTiles<kDimTiles, kFloatKv>& tiles,
                                           const std::uint16_t* query_high, const std::uint16_t* query_low,
                                           int first_key, const int (&last_key)[2],
                                           TileState<kDimTiles>* state) {
  constexpr int kStride = SharedStride(kDimTiles * 16);
  float scores[kKeyTile / 8][4];
  Scores<kDimTiles, kFloatKv>(tiles, query_high, query_low, scores);
  state->Clear();
  Softmax(p, first_key, last_key, scores, state->softmax);
#pragma unroll
  for (int k = 0; k < kKeyTile / 16; ++k) {
    std::uint32_t high[4], low[4];
    SplitWeights(&scores[2 * k], high, low);
#pragma unroll
    for (int d = 0; d < kDimTiles; ++d) {
      const int at = k * 16 * kStride + 16 * d;
      std::uint32_t values[4];
      LoadMatrixTransposed(values, ColumnOrder(tiles.values + at, kStride));
      MmaPair(&state->values[2 * d], high, values);
      MmaPair(&state->values[2 * d], low, values);
      if (kFloatKv) {
        LoadMatrixTransposed(values, ColumnOrder(tiles.values_low + at, kStride));
        MmaPair(&state->values[2 * d], high, values);
      }
    }
  }
}

}  // namespace reprise::cuda
