#include "kernels/cuda/prologue.h"

#include "kernels/cuda/device_math.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/packed_weight.h"

namespace reprise::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPerThread = 4;  // consecutive columns

enum class Output { kFragments, kFloatRows, kBf16Rows };

// A row's norm: y = (x - mean) * scale * weight + bias.
struct NormParameters {
  const float* weight;  // nullptr: 1
  const float* bias;    // nullptr: none
  int divisor;          // of the sum of squares
  float epsilon;
  int centered;  // layer norm; otherwise the mean is taken as 0
  int unused;
};

struct RowNorm {
  float mean;
  float scale;
};

// By a block of kThreads threads.
__device__ RowNorm NormOf(const NormParameters& norm, const float* x, int columns) {
  float mean = 0.0f;
  if (norm.centered != 0) {
    float sum = 0.0f;
    for (int k = static_cast<int>(threadIdx.x); k < columns; k += kThreads) sum = __fadd_rn(sum, x[k]);
    mean = BlockReduce<kThreads>(sum, Sum()) / static_cast<float>(columns);
  }
  float squares = 0.0f;
  for (int k = static_cast<int>(threadIdx.x); k < columns; k += kThreads)
    squares = fmaf(x[k] - mean, x[k] - mean, squares);
  squares = BlockReduce<kThreads>(squares, Sum());
  return {mean, 1.0f / sqrtf(__fadd_rn(squares / static_cast<float>(norm.divisor), norm.epsilon))};
}

__device__ __forceinline__ float Normalize(const NormParameters& norm, const RowNorm& row, float x, int k) {
  float y = __fmul_rn(x - row.mean, row.scale);
  if (norm.weight != nullptr) y = __fmul_rn(y, norm.weight[k]);
  return norm.bias == nullptr ? y : __fadd_rn(y, norm.bias[k]);
}

struct PrologueParameters {
  NormParameters norm;
  const float* x;  // the first row
  void* out;
  float* sums;
  std::int64_t stride;
  int columns;
  int padded_columns;
  int column_tiles;
  int prologue;
};

// x / (1 + exp(-argument)): SiLU with x itself, the tanh form of GELU with 2 sqrt(2 / pi) (x + 0.044715 x^3).
__device__ float Gate(float x, float argument) {
  return x / __fadd_rn(1.0f, expf(-argument));
}
__device__ float GeluArgument(float x) {
  return __fmul_rn(2.0f * 0.7978845608f, fmaf(__fmul_rn(__fmul_rn(0.044715f, x), x), x, x));
}

__device__ float InputAt(const PrologueParameters& p, const float* x, const RowNorm& norm, int k) {
  if (k >= p.columns) return 0.0f;
  switch (static_cast<Prologue>(p.prologue)) {
    case Prologue::kRmsNorm:
    case Prologue::kLayerNorm:
      return Normalize(p.norm, norm, x[k], k);
    case Prologue::kSiluMul:
      return __fmul_rn(Gate(x[k], x[k]), x[p.columns + k]);
    case Prologue::kRelu:
      return fmaxf(x[k], 0.0f);
    case Prologue::kGeluTanh:
      return Gate(x[k], GeluArgument(x[k]));
    case Prologue::kNone:
      break;
  }
  return x[k];
}

__device__ std::uint32_t PackPair(std::uint32_t low, std::uint32_t high) {
  return low | high << 16;
}

__device__ void StoreFragment(const PrologueParameters& p, int row, int k, const float (&value)[kPerThread]) {
  Bf16Split split[kPerThread];
#pragma unroll
  for (int i = 0; i < kPerThread; ++i) split[i] = SplitBf16(value[i]);
  const int group = k / kGroupColumns;
  const int t = k % kGroupColumns / 8;
  const int tile = row / 4;
  const int column = 2 * (row % 4);
  // In units of the eight values of a lane, of which these are the first or the second four.
  const std::int64_t lane =
      (static_cast<std::int64_t>(group) * p.column_tiles + tile) * kWarp + column * 4 + t;
  auto* out = static_cast<uint2*>(p.out) + 2 * lane + k % 8 / kPerThread;
  out[0] = uint2{PackPair(split[0].high, split[1].high), PackPair(split[2].high, split[3].high)};
  out[2 * 4] = uint2{PackPair(split[0].low, split[1].low), PackPair(split[2].low, split[3].low)};
}

// One block a row.
template <Output kOutput>
__global__ void __launch_bounds__(kThreads) PrologueKernel(PrologueParameters p) {
  const int row = static_cast<int>(blockIdx.x);
  const float* x = p.x + row * p.stride;
  RowNorm norm = {0.0f, 1.0f};
  if (p.prologue == static_cast<int>(Prologue::kRmsNorm) ||
      p.prologue == static_cast<int>(Prologue::kLayerNorm))
    norm = NormOf(p.norm, x, p.columns);
  for (int base = 0; base < p.padded_columns; base += kThreads * kPerThread) {
    const int k = base + static_cast<int>(threadIdx.x) * kPerThread;
    float value[kPerThread];
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      value[i] = InputAt(p, x, norm, k + i);
      sum = __fadd_rn(sum, value[i]);
    }
    if (kOutput == Output::kFragments) {
      // Eight threads hold a group of 32.
#pragma unroll
      for (int distance = 1; distance < 8; distance *= 2)
        sum = __fadd_rn(sum, __shfl_xor_sync(kAllLanes, sum, distance));
    }
    if (k >= p.padded_columns) continue;
    if (kOutput == Output::kFragments) {
      StoreFragment(p, row, k, value);
      if (k % kGroupColumns == 0) p.sums[k / kGroupColumns * (p.column_tiles * 4) + row] = sum;
    } else {
      const std::int64_t at = static_cast<std::int64_t>(row) * p.padded_columns + k;
#pragma unroll
      for (int i = 0; i < kPerThread; ++i) {
        if (kOutput == Output::kFloatRows) {
          static_cast<float*>(p.out)[at + i] = value[i];
        } else {
          static_cast<std::uint16_t*>(p.out)[at + i] = static_cast<std::uint16_t>(RoundToBf16Bits(value[i]));
        }
      }
    }
  }
}

struct NormRowsParameters {
  NormParameters norm;
  const float* x;
  float* out;
  std::int64_t x_stride;
  std::int64_t out_stride;
  int columns;
  int unused;
};

__global__ void __launch_bounds__(kThreads) NormRowsKernel(NormRowsParameters p) {
  const float* x = p.x + blockIdx.x * p.x_stride;
  float* out = p.out + blockIdx.x * p.out_stride;
  const RowNorm norm = NormOf(p.norm, x, p.columns);
  for (int k = static_cast<int>(threadIdx.x); k < p.columns; k += kThreads)
    out[k] = Normalize(p.norm, norm, x[k], k);
}

NormParameters ParametersOf(const RmsNormSpec& spec) {
  return {spec.weight, nullptr, spec.norm_dim, spec.epsilon, 0, 0};
}
NormParameters ParametersOf(const LayerNormSpec& spec, int columns) {
  return {spec.weight, spec.bias, columns, spec.epsilon, 1, 0};
}

void NormRows(Stream& stream, ConstMatrixView x, const NormParameters& norm, MatrixView out) {
  NormRowsParameters p = {};
  p.norm = norm;
  p.x = x.data;
  p.out = out.data;
  p.x_stride = x.stride;
  p.out_stride = out.stride;
  p.columns = x.columns;
  Launch(stream, &NormRowsKernel, dim3(x.rows), kThreads, p);
}

template <Output kOutput>
void RunPrologue(Stream& stream, const ProductInput& input, int first_row, int rows, void* out, float* sums,
                 int column_tiles) {
  PrologueParameters p = {};
  p.norm = input.prologue == Prologue::kLayerNorm ? ParametersOf(input.layer_norm, input.columns)
                                                  : ParametersOf(input.norm);
  p.x = input.x.row(first_row);
  p.out = out;
  p.sums = sums;
  p.stride = input.x.stride;
  p.columns = input.columns;
  p.padded_columns = PaddedColumns(p.columns);
  p.column_tiles = column_tiles;
  p.prologue = static_cast<int>(input.prologue);
  Launch(stream, &PrologueKernel<kOutput>, dim3(rows), kThreads, p);
}

}  // namespace

int PaddedColumns(int columns) {
  return (columns + kColumnPadding - 1) / kColumnPadding * kColumnPadding;
}
std::size_t FragmentValueBytes(int rows, int columns) {
  return static_cast<std::size_t>(PaddedColumns(columns)) * ColumnTiles(rows) * 8 * sizeof(std::uint16_t);
}
std::size_t FragmentSumBytes(int rows, int columns) {
  return static_cast<std::size_t>(PaddedColumns(columns)) / kGroupColumns * ColumnTiles(rows) * 4 *
         sizeof(float);
}

void PrepareFragments(Stream& stream, const ProductInput& input, int first_row, int rows,
                      const Fragments& fragments) {
  RunPrologue<Output::kFragments>(stream, input, first_row, rows, fragments.values, fragments.sums,
                                  fragments.column_tiles);
}
void PrepareFloatRows(Stream& stream, const ProductInput& input, float* out) {
  RunPrologue<Output::kFloatRows>(stream, input, 0, input.x.rows, out, nullptr, 0);
}
void PrepareBf16Rows(Stream& stream, const ProductInput& input, std::uint16_t* out) {
  RunPrologue<Output::kBf16Rows>(stream, input, 0, input.x.rows, out, nullptr, 0);
}

void RmsNormRows(Stream& stream, ConstMatrixView x, const RmsNormSpec& spec, MatrixView out) {
  NormRows(stream, x, ParametersOf(spec), out);
}
void LayerNormRows(Stream& stream, ConstMatrixView x, const LayerNormSpec& spec, MatrixView out) {
  NormRows(stream, x, ParametersOf(spec, x.columns), out);
}

}  // namespace reprise::cuda
