#include "kernels/cuda/few_rows_matmul.h"

#include "kernels/cuda/device_math.h"
#include "kernels/cuda/launch.h"

namespace reprise::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;

struct MatMulParameters {
  const void* data;  // of the weight
  const void* scales;
  const uint4* x;     // Fragments::values
  const float* sums;  // Fragments::sums
  ProductOutput out;
  std::int64_t row_stride;
  int weight_rows;
  int weight_tiles;
  int segments;
  int scale_type;
};

__device__ __forceinline__ void StoreProduct(const ProductOutput& out, int row, int n, float product) {
  if (out.bias != nullptr) product = __fadd_rn(product, out.bias[n]);
  float* to = out.data + row * out.stride + n;
  *to = out.accumulate != 0 ? __fadd_rn(*to, product) : product;
}

// One lane's 16 bytes of rows g and g + 8 of a tile.
struct LaneCodes {
  uint4 half[2];
};

// The first operand of two products, m16n8k16 each: a lane's eight columns of rows g and g + 8.
struct WeightFragment {
  std::uint32_t a[2][4];
};

__device__ __forceinline__ std::uint32_t Word(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

template <WeightForm kForm>
__device__ __forceinline__ LaneCodes LoadCodes(const MatMulParameters& p, int tile, int segment, int lane) {
  LaneCodes codes;
  if (tile >= p.weight_tiles) {
    codes.half[0] = codes.half[1] = uint4{0, 0, 0, 0};
    return codes;
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    std::int64_t at;  // in units of 16 bytes
    if (kForm == WeightForm::kBF16 || kForm == WeightForm::kF16) {
      const std::int64_t row = tile * kTileRows + half * 8 + lane / 4;
      at = (row * p.row_stride + segment * kGroupColumns) / 8 + lane % 4;
    } else {
      at = ((static_cast<std::int64_t>(tile) * p.segments + segment) * 2 + half) * kWarp + lane;
    }
    codes.half[half] = __ldcs(static_cast<const uint4*>(p.data) + at);  // read once: not to be kept
  }
  return codes;
}

// Two halves as two pairs of bf16 that add up to them: 11 bits are 8 and 3.
__device__ __forceinline__ void SplitHalfPair(std::uint32_t halves, std::uint32_t* high, std::uint32_t* low) {
  const Bf16Split first = SplitBf16(HalfToFloat(static_cast<std::uint16_t>(halves)));
  const Bf16Split second = SplitBf16(HalfToFloat(static_cast<std::uint16_t>(halves >> 16)));
  *high = first.high | second.high << 16;
  *low = first.low | second.low << 16;
}

// Two 8-bit codes, 128 added, at bits `shift` and `shift` + 8, as bf16. The float 2^23 + u holds u in its
// last bits; codes need only the first eight of a mantissa.
__device__ __forceinline__ std::uint32_t CodePairToBf16(std::uint32_t word, int shift) {
  constexpr std::uint32_t kTwoTo23 = 0x4b000000u;
  constexpr float kOffset = 8388608.0f + 128.0f;
  const float first = __uint_as_float(kTwoTo23 | (word >> shift & 0xffu)) - kOffset;
  const float second = __uint_as_float(kTwoTo23 | (word >> (shift + 8) & 0xffu)) - kOffset;
  return __float_as_uint(first) >> 16 | (__float_as_uint(second) & 0xffff0000u);
}

// Four 4-bit codes as bf16: 0x4300 | q is 128 + q.
__device__ __forceinline__ std::uint32_t NibblePairToBf16(std::uint32_t word, int pair,
                                                          std::uint32_t offset) {
  constexpr std::uint32_t kOnes = 0x3f803f80u;
  return FmaBf16x2((word >> (4 * pair) & 0x000f000fu) | 0x43004300u, kOnes, offset);
}

// Group `group` of a segment. `low` is what kF16 leaves over, otherwise untouched.
template <WeightForm kForm>
__device__ __forceinline__ void UnpackGroup(const LaneCodes& codes, int group, std::uint32_t nibble_offset,
                                            WeightFragment* high, WeightFragment* low) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int pair = 0; pair < 4; ++pair) {  // columns 2 pair and 2 pair + 1 of the lane's eight
      std::uint32_t& a = high->a[pair / 2][pair % 2 * 2 + half];
      if (kForm == WeightForm::kBF16) {
        a = Word(codes.half[half], pair);
      } else if (kForm == WeightForm::kF16) {
        SplitHalfPair(Word(codes.half[half], pair), &a, &low->a[pair / 2][pair % 2 * 2 + half]);
      } else if (kForm == WeightForm::kQ4) {
        a = NibblePairToBf16(Word(codes.half[half], group), pair, nibble_offset);
      } else {
        a = CodePairToBf16(Word(codes.half[half], group * 2 + pair / 2), pair % 2 * 16);
      }
    }
  }
}

// The second operand of the same two products for one column tile; zeros where the tile has no row.
template <WeightForm kForm>
__device__ __forceinline__ void LoadActivations(const MatMulParameters& p, std::int64_t tile_at, bool active,
                                                int lane, std::uint32_t (&b)[2][2]) {
  if (!active) {
    b[0][0] = b[0][1] = b[1][0] = b[1][1] = 0;
  } else if (kForm == WeightForm::kQ8Fine) {
    // Columns 4 t .. 4 t + 3 of each half of the group lie with the lanes t / 2 and 2 + t / 2.
    const auto* x = reinterpret_cast<const uint2*>(p.x + tile_at * kWarp) + (lane & ~3) * 2;
    const int t = lane % 4;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint2 v = x[(2 * i + t / 2) * 2 + t % 2];
      b[i][0] = v.x;
      b[i][1] = v.y;
    }
  } else {
    const uint4 v = p.x[tile_at * kWarp + lane];
    b[0][0] = v.x;
    b[0][1] = v.y;
    b[1][0] = v.z;
    b[1][1] = v.w;
  }
}

// Scale and minimum, or of kQ8Fine the group's two scales.
__device__ __forceinline__ float2 LoadScale(const MatMulParameters& p, std::int64_t at) {
  switch (static_cast<ScaleType>(p.scale_type)) {
    case ScaleType::kHalf:
      return float2{HalfToFloat(static_cast<const std::uint16_t*>(p.scales)[at]), 0.0f};
    case ScaleType::kHalfPair: {
      const std::uint32_t pair = static_cast<const std::uint32_t*>(p.scales)[at];
      return float2{HalfToFloat(static_cast<std::uint16_t>(pair)),
                    HalfToFloat(static_cast<std::uint16_t>(pair >> 16))};
    }
    default:
      return static_cast<const float2*>(p.scales)[at];
  }
}

// acc += scale * part, for rows g (elements 0, 1) and g + 8 (2, 3).
__device__ __forceinline__ void AddScaled(float (&acc)[4], float scale_g, float scale_g8,
                                          const float (&part)[4]) {
  acc[0] = fmaf(scale_g, part[0], acc[0]);
  acc[1] = fmaf(scale_g, part[1], acc[1]);
  acc[2] = fmaf(scale_g8, part[2], acc[2]);
  acc[3] = fmaf(scale_g8, part[3], acc[3]);
}

// One group of one tile of weights with all column tiles.
template <WeightForm kForm, int kColumnTiles>
__device__ __forceinline__ void MultiplyGroup(const MatMulParameters& p, const LaneCodes& codes, int tile,
                                              int segment, int group, int lane,
                                              float (&acc)[kColumnTiles][4]) {
  constexpr int kGroups = GroupsPerSegment(kForm);
  constexpr bool kScaled =
      kForm == WeightForm::kQ4 || kForm == WeightForm::kQ8 || kForm == WeightForm::kQ8Fine;
  const bool affine = static_cast<ScaleType>(p.scale_type) != ScaleType::kHalf;
  const std::uint32_t nibble_offset = affine ? 0xc300c300u : 0xc308c308u;  // -128; -136 for codes from -8
  WeightFragment high, low;
  UnpackGroup<kForm>(codes, group, nibble_offset, &high, &low);
  float2 scale_g = {0.0f, 0.0f};
  float2 scale_g8 = {0.0f, 0.0f};
  if (kScaled && tile < p.weight_tiles) {
    const std::int64_t row = (static_cast<std::int64_t>(tile) * p.segments + segment) * kTileRows + lane / 4;
    scale_g = LoadScale(p, row * kGroups + group);
    scale_g8 = LoadScale(p, (row + 8) * kGroups + group);
  }
  const std::int64_t k_group = static_cast<std::int64_t>(segment) * kGroups + group;
#pragma unroll
  for (int j = 0; j < kColumnTiles; ++j) {
    std::uint32_t b[2][2];
    LoadActivations<kForm>(p, k_group * kColumnTiles + j, 4 * j + lane / 8 < p.out.rows, lane, b);
    if (!kScaled) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        MmaBf16(acc[j], high.a[i], b[i]);
        if (kForm == WeightForm::kF16) MmaBf16(acc[j], low.a[i], b[i]);
      }
      continue;
    }
    float part[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    MmaBf16(part, high.a[0], b[0]);
    if (kForm == WeightForm::kQ8Fine) {
      AddScaled(acc[j], scale_g.x, scale_g8.x, part);
      part[0] = part[1] = part[2] = part[3] = 0.0f;
    }
    MmaBf16(part, high.a[1], b[1]);
    if (kForm == WeightForm::kQ8Fine) {
      AddScaled(acc[j], scale_g.y, scale_g8.y, part);
      continue;
    }
    AddScaled(acc[j], scale_g.x, scale_g8.x, part);
    if (affine && 4 * j + lane % 4 < p.out.rows) {  // this lane's columns are high and low of that row
      const float sum = p.sums[k_group * (kColumnTiles * 4) + 4 * j + lane % 4];
      acc[j][0] = fmaf(scale_g.y, sum, acc[j][0]);
      acc[j][2] = fmaf(scale_g8.y, sum, acc[j][2]);
    }
  }
}

// Adds the warps' sums in ascending order and stores them.
template <int kColumnTiles, int kRowTiles>
__device__ void StoreProducts(const MatMulParameters& p, const float (&acc)[kRowTiles][kColumnTiles][4]) {
  constexpr int kRows = kRowTiles * kTileRows;
  constexpr int kColumns = kColumnTiles * 4;
  SHARED_ARRAY(float, sums, [kWarps][kRows * kColumns]);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int tile = 0; tile < kRowTiles; ++tile) {
#pragma unroll
    for (int j = 0; j < kColumnTiles; ++j) {
      float* out = sums[warp] + (tile * kTileRows + lane / 4) * kColumns + 4 * j + lane % 4;
      out[0] = __fadd_rn(acc[tile][j][0], acc[tile][j][1]);  // of the high and the low part
      out[8 * kColumns] = __fadd_rn(acc[tile][j][2], acc[tile][j][3]);
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kColumns; i += kThreads) {
    const int row = i / kRows;
    const int n = static_cast<int>(blockIdx.x) * kRows + i % kRows;
    if (row >= p.out.rows || n >= p.weight_rows) continue;
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) sum = __fadd_rn(sum, sums[w][i % kRows * kColumns + row]);
    StoreProduct(p.out, row, n, sum);
  }
}

template <WeightForm kForm, int kColumnTiles, int kRowTiles>
__global__ void __launch_bounds__(kThreads) FewRowsKernel(MatMulParameters p) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int first_tile = static_cast<int>(blockIdx.x) * kRowTiles;
  float acc[kRowTiles][kColumnTiles][4] = {};
  LaneCodes next[kRowTiles];
  if (warp < p.segments) {
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile)
      next[tile] = LoadCodes<kForm>(p, first_tile + tile, warp, lane);
  }
  for (int segment = warp; segment < p.segments; segment += kWarps) {
    LaneCodes codes[kRowTiles];
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) codes[tile] = next[tile];
    if (segment + kWarps < p.segments) {
#pragma unroll
      for (int tile = 0; tile < kRowTiles; ++tile)
        next[tile] = LoadCodes<kForm>(p, first_tile + tile, segment + kWarps, lane);
    }
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
#pragma unroll
      for (int group = 0; group < GroupsPerSegment(kForm); ++group) {
        MultiplyGroup<kForm, kColumnTiles>(p, codes[tile], first_tile + tile, segment, group, lane,
                                           acc[tile]);
      }
    }
  }
  StoreProducts<kColumnTiles, kRowTiles>(p, acc);
}

template <WeightForm kForm, int kColumnTiles, int kRowTiles>
void LaunchFewRows(Stream& stream, const MatMulParameters& p) {
  const int blocks = (p.weight_tiles + kRowTiles - 1) / kRowTiles;
  Launch(stream, &FewRowsKernel<kForm, kColumnTiles, kRowTiles>, dim3(blocks), kThreads, p);
}

// Two tiles a warp halve the reading of activations, but fill only half as many blocks.
template <WeightForm kForm>
void LaunchForm(Stream& stream, const MatMulParameters& p) {
  const bool two = p.weight_tiles >= 4 * stream.num_multiprocessors();
  switch (ColumnTiles(p.out.rows)) {
    case 1:
      return two ? LaunchFewRows<kForm, 1, 2>(stream, p) : LaunchFewRows<kForm, 1, 1>(stream, p);
    case 2:
      return two ? LaunchFewRows<kForm, 2, 2>(stream, p) : LaunchFewRows<kForm, 2, 1>(stream, p);
    case 4:
      return LaunchFewRows<kForm, 4, 1>(stream, p);
    default:
      return LaunchFewRows<kForm, 8, 1>(stream, p);
  }
}

// ---- float weights: one warp for a weight row and four activation rows

constexpr int kFloatRows = 4;

struct FloatMatMulParameters {
  const float* weight;
  const float* x;
  ProductOutput out;
  std::int64_t weight_stride;
  std::int64_t x_stride;
  int weight_rows;
  int unused;
};

__global__ void __launch_bounds__(kThreads) FloatMatMulKernel(FloatMatMulParameters p) {
  const int n = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int first_row = static_cast<int>(blockIdx.y) * kFloatRows;
  if (n >= p.weight_rows) return;  // the whole warp, and there is no barrier
  const auto* weight = reinterpret_cast<const float4*>(p.weight + n * p.weight_stride);
  float sums[kFloatRows] = {};
  for (int i = lane; i < static_cast<int>(p.weight_stride / 4); i += kWarp) {
    const float4 w = __ldcs(weight + i);
#pragma unroll
    for (int r = 0; r < kFloatRows; ++r) {
      if (first_row + r >= p.out.rows) continue;
      const float4 x = reinterpret_cast<const float4*>(p.x + (first_row + r) * p.x_stride)[i];
      sums[r] = fmaf(w.x, x.x, fmaf(w.y, x.y, fmaf(w.z, x.z, fmaf(w.w, x.w, sums[r]))));
    }
  }
#pragma unroll
  for (int r = 0; r < kFloatRows; ++r) {
    const float sum = WarpSum(sums[r]);
    if (lane == 0 && first_row + r < p.out.rows) StoreProduct(p.out, first_row + r, n, sum);
  }
}

}  // namespace

void FewRowsMatMul(Stream& stream, const PackedWeight& weight, const Fragments& x, const ProductOutput& out) {
  MatMulParameters p = {};
  p.data = weight.data;
  p.scales = weight.scales;
  p.x = reinterpret_cast<const uint4*>(x.values);
  p.sums = x.sums;
  p.out = out;
  p.row_stride = weight.row_stride;
  p.weight_rows = weight.rows;
  p.weight_tiles = (weight.rows - 1) / kTileRows + 1;
  p.segments = weight.segments;
  p.scale_type = static_cast<int>(weight.scale_type);
  switch (weight.form) {
    case WeightForm::kBF16:
      return LaunchForm<WeightForm::kBF16>(stream, p);
    case WeightForm::kF16:
      return LaunchForm<WeightForm::kF16>(stream, p);
    case WeightForm::kQ4:
      return LaunchForm<WeightForm::kQ4>(stream, p);
    case WeightForm::kQ8:
      return LaunchForm<WeightForm::kQ8>(stream, p);
    case WeightForm::kQ8Fine:
      return LaunchForm<WeightForm::kQ8Fine>(stream, p);
    case WeightForm::kF32:
      return;
  }
}

void FloatMatMul(Stream& stream, const PackedWeight& weight, const float* x, const ProductOutput& out) {
  FloatMatMulParameters p = {};
  p.weight = static_cast<const float*>(weight.data);
  p.x = x;
  p.out = out;
  p.weight_stride = weight.row_stride;
  p.x_stride = PaddedColumns(weight.columns);
  p.weight_rows = weight.rows;
  const dim3 grid((weight.rows + kWarps - 1) / kWarps, (out.rows + kFloatRows - 1) / kFloatRows);
  Launch(stream, &FloatMatMulKernel, grid, kThreads, p);
}

}  // namespace reprise::cuda
