#include "kernels/cuda/rows.h"

#include "kernels/cuda/device_math.h"
#include "kernels/cuda/launch.h"

namespace reprise::cuda {
namespace {

constexpr int kThreads = 128;

__device__ __forceinline__ std::uint32_t Load16Bits(const void* data, std::int64_t at) {
  return static_cast<const std::uint16_t*>(data)[at];
}

// Element (row, column) of a quantised weight, to the bit what its file's format says.
__device__ float QuantizedElement(const PackedWeight& w, int row, int column) {
  const bool four_bits = w.form == WeightForm::kQ4;
  const bool fine = w.form == WeightForm::kQ8Fine;
  const int groups = GroupsPerSegment(w.form);
  const int segment = column / (groups * kGroupColumns);
  const int group = column / kGroupColumns % groups;
  const int i = column % kGroupColumns;
  const int t = fine ? i % 16 / 4 : i / 8;
  const int element = fine ? i / 16 * 4 + i % 4 : i % 8;
  const std::int64_t tile = static_cast<std::int64_t>(row / kTileRows) * w.segments + segment;
  const int half = row % kTileRows / 8;
  const int lane = row % 8 * 4 + t;
  const auto* lane_data =
      static_cast<const std::uint8_t*>(w.data) + tile * kTileBytes + (half * kWarp + lane) * 16;
  const std::int64_t scale_at = (tile * kTileRows + row % kTileRows) * groups + group;

  float code;
  if (four_bits) {
    const int nibble = element / 2 + element % 2 * 4;
    const int stored = lane_data[group * 4 + nibble / 2] >> nibble % 2 * 4 & 15;
    code = static_cast<float>(w.scale_type == ScaleType::kHalf ? stored - 8 : stored);
  } else {
    code = static_cast<float>(lane_data[group * 8 + element] - 128);
  }
  if (w.scale_type == ScaleType::kHalf)
    return __fmul_rn(code, HalfToFloat(static_cast<std::uint16_t>(Load16Bits(w.scales, scale_at))));
  if (w.scale_type == ScaleType::kHalfPair) {
    const float scale = HalfToFloat(static_cast<std::uint16_t>(Load16Bits(w.scales, 2 * scale_at)));
    const float minimum = HalfToFloat(static_cast<std::uint16_t>(Load16Bits(w.scales, 2 * scale_at + 1)));
    return __fadd_rn(__fmul_rn(code, scale), minimum);
  }
  const float2 pair = static_cast<const float2*>(w.scales)[scale_at];
  if (fine) return __fmul_rn(code, element < 4 ? pair.x : pair.y);
  return __fadd_rn(__fmul_rn(code, pair.x), pair.y);
}

__device__ float Element(const PackedWeight& w, int row, int column) {
  const std::int64_t at = row * w.row_stride + column;
  switch (w.form) {
    case WeightForm::kF32:
      return static_cast<const float*>(w.data)[at];
    case WeightForm::kBF16:
      return Bf16BitsToFloat(Load16Bits(w.data, at));
    case WeightForm::kF16:
      return HalfToFloat(static_cast<std::uint16_t>(Load16Bits(w.data, at)));
    default:
      return QuantizedElement(w, row, column);
  }
}

struct EmbedParameters {
  PackedWeight table;
  const TokenId* token_ids;
  const TokenId* drawn;
  float* out;
  std::int64_t out_stride;
  int first_row;
  int unused;
};

__global__ void __launch_bounds__(kThreads) EmbedKernel(EmbedParameters p) {
  TokenId token = p.token_ids[blockIdx.x];
  if (token < 0) token = p.drawn[-1 - token];
  if (token < 0) token = 0;  // there was none to draw
  const int row = token - p.first_row;
  if (row < 0 || row >= p.table.rows) return;  // another part's; no barrier follows
  float* out = p.out + blockIdx.x * p.out_stride;
  for (int k = static_cast<int>(threadIdx.x); k < p.table.columns; k += kThreads)
    out[k] = Element(p.table, row, k);
}

enum class Move : int { kGather, kScatter, kAdd };

struct MoveParameters {
  const float* x;
  const int* rows;
  float* out;
  std::int64_t x_stride;
  std::int64_t out_stride;
  int columns;
  Move move;
};

__global__ void __launch_bounds__(kThreads) MoveKernel(MoveParameters p) {
  const std::int64_t listed = p.rows[blockIdx.x];
  const std::int64_t in_turn = blockIdx.x;
  const bool scatters = p.move == Move::kScatter;
  const float* x = p.x + (scatters ? in_turn : listed) * p.x_stride;
  float* out = p.out + (scatters ? listed : in_turn) * p.out_stride;
  for (int k = static_cast<int>(threadIdx.x); k < p.columns; k += kThreads)
    out[k] = p.move == Move::kAdd ? __fadd_rn(out[k], x[k]) : x[k];
}

struct ExpandParameters {
  PackedWeight weight;
  std::uint16_t* out;
  std::int64_t stride;
};

__global__ void __launch_bounds__(kThreads) ExpandKernel(ExpandParameters p) {
  const int row = static_cast<int>(blockIdx.x);
  std::uint16_t* out = p.out + row * p.stride;
  for (int k = static_cast<int>(threadIdx.x); k < p.stride; k += kThreads) {
    const float value = k < p.weight.columns ? Element(p.weight, row, k) : 0.0f;
    out[k] = static_cast<std::uint16_t>(RoundToBf16Bits(value));
  }
}

void MoveRows(Stream& stream, ConstMatrixView x, const int* rows, MatrixView out, Move move) {
  MoveParameters p = {};
  p.x = x.data;
  p.rows = rows;
  p.out = out.data;
  p.x_stride = x.stride;
  p.out_stride = out.stride;
  p.columns = x.columns;
  p.move = move;
  Launch(stream, &MoveKernel, dim3(move == Move::kScatter ? x.rows : out.rows), kThreads, p);
}

}  // namespace

void EmbedRows(Stream& stream, const TokenId* token_ids, const TokenId* drawn, int first_row,
               const PackedWeight& part, MatrixView out) {
  EmbedParameters p = {};
  p.table = part;
  p.token_ids = token_ids;
  p.drawn = drawn;
  p.out = out.data;
  p.out_stride = out.stride;
  p.first_row = first_row;
  Launch(stream, &EmbedKernel, dim3(out.rows), kThreads, p);
}

void GatherRows(Stream& stream, ConstMatrixView x, const int* rows, MatrixView out) {
  MoveRows(stream, x, rows, out, Move::kGather);
}
void ScatterRows(Stream& stream, ConstMatrixView x, const int* rows, MatrixView out) {
  MoveRows(stream, x, rows, out, Move::kScatter);
}
void AddRows(Stream& stream, ConstMatrixView x, const int* rows, MatrixView out) {
  MoveRows(stream, x, rows, out, Move::kAdd);
}

void ExpandToBf16(Stream& stream, const PackedWeight& weight, std::uint16_t* out, std::int64_t stride) {
  ExpandParameters p = {};
  p.weight = weight;
  p.out = out;
  p.stride = stride;
  Launch(stream, &ExpandKernel, dim3(weight.rows), kThreads, p);
}

}  // namespace reprise::cuda
