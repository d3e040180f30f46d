// Draws by one uniform number: a draft's own, and the rejection rule's residual (Leviathan et al.
// 2211.17192).
#include "kernels/cuda/draw_kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/token_order.h"

namespace reprise::cuda {
namespace {

constexpr int kWarps = kDrawThreads / kWarp;

// A filtered row as probabilities.
struct Law {
  const float* logits;
  const TokenId* ids;
  int columns;
  float scale;
  Distribution distribution;

  __device__ float operator()(int column) const {
    const float value = __fmul_rn(logits[column], scale);
    if (MakeKey(value, column) < distribution.cut) return 0.0f;
    return __fmul_rn(expf(value - distribution.max), static_cast<float>(1.0 / distribution.total));
  }
  __device__ double OfToken(TokenId token) const {
    const int column = ColumnOfToken(ids, columns, token);
    if (column < 0) return 0.0;
    const float value = __fmul_rn(logits[column], scale);
    if (MakeKey(value, column) < distribution.cut) return 0.0;
    return exp(static_cast<double>(value - distribution.max)) / distribution.total;
  }
};

// The first column of the warp's [begin, end) at which `sum`, and the weights up to there, pass the target;
// the last with a weight where rounding keeps them below. For all lanes.
template <typename WeightOf>
__device__ int FindColumn(int begin, int end, double sum, double target, WeightOf weight_of) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  int last = -1;
  for (int first = begin; first < end; first += kWarp) {
    const int column = first + lane;
    const double weight = column < end ? weight_of(column) : 0.0f;
    const double up_to_here = sum + WarpPrefixSum(weight);
    // Found columns count down from the end, so that the first is the largest; other lanes give 0.
    const int found = WarpReduce(weight > 0.0 && up_to_here > target ? end - column : 0, Largest());
    if (found > 0) return end - found;
    if (weight > 0.0) last = column;
    sum = __shfl_sync(kAllLanes, up_to_here, kWarp - 1);
  }
  return WarpReduce(last, Largest());
}

// The column whose share of the weights holds the point `u` of their sum; -1 where all are zero. Each warp
// sums a range of columns, and the one in whose range the point lies looks for it. For all threads.
template <typename WeightOf>
__device__ int DrawColumn(int columns, double u, WeightOf weight_of) {
  SHARED_ARRAY(double, sums, [kWarps]);
  SHARED_ARRAY(int, drawn, [1]);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int range = (columns + kDrawThreads - 1) / kDrawThreads * kWarp;
  const int end = min(columns, (warp + 1) * range);
  double sum = 0.0;
  for (int i = warp * range + lane; i < end; i += kWarp) sum += weight_of(i);
  sum = WarpReduce(sum, Sum());
  if (lane == 0) sums[warp] = sum;
  __syncthreads();
  double total = 0.0;
  for (int w = 0; w < kWarps; ++w) total += sums[w];
  const double target = u * total;
  double before = 0.0;
  double sum_so_far = 0.0;
  int chosen = -1;
  for (int w = 0; w < kWarps && sum_so_far <= target; ++w) {
    if (sums[w] <= 0.0) continue;
    chosen = w;
    before = sum_so_far;
    sum_so_far += sums[w];
  }
  if (chosen < 0) return -1;
  if (warp == chosen) {
    const int column = FindColumn(warp * range, end, before, target, weight_of);
    if (lane == 0) drawn[0] = column;
  }
  __syncthreads();
  return drawn[0];
}

__device__ Law LawOf(const DrawParameters& p, int row, const RowDraw& draw) {
  return {RowToDrawFrom(p, row), p.ids, p.columns, draw.inverse_temperature, p.distributions[2 * row]};
}
__device__ Law DraftLawOf(const DrawParameters& p, int row, const RowDraw& draw) {
  return {draw.draft_logits, draw.draft_ids, draw.draft_columns, draw.inverse_temperature,
          p.distributions[2 * row + 1]};
}

// Whether the drafted token stands.
__device__ bool Accepts(const RowDraw& draw, const Law& target, const Law* draft) {
  const double p = target.OfToken(draw.drafted);
  const double q = draft != nullptr ? draft->OfToken(draw.drafted) : 1.0;
  const double bound = draw.lenience < 1.0f ? pow(p, static_cast<double>(draw.lenience)) : p;
  return p > 0.0 && UniformOnDevice(draw.accept_stream) * q < bound;
}

__device__ int DrawResidual(const RowDraw& draw, const Law& target, const Law* draft, double u) {
  return DrawColumn(target.columns, u, [&](int column) {
    const float p = target(column);
    if (p == 0.0f) return 0.0f;
    const int token = TokenOf(target.ids, column);
    float q = token == draw.drafted ? 1.0f : 0.0f;
    if (draft != nullptr) {
      const int draft_column = ColumnOfToken(draft->ids, draft->columns, token);
      q = draft_column >= 0 ? (*draft)(draft_column) : 0.0f;
    }
    return p > q ? p - q : 0.0f;
  });
}

__global__ void __launch_bounds__(kDrawThreads) RejectionKernel(DrawParameters p) {
  SHARED_ARRAY(int, accepted, [1]);
  const int row = static_cast<int>(blockIdx.x);
  const RowDraw draw = RowOf(p, row);
  if (!DrawsFromDistribution(draw)) return;
  const Law target = LawOf(p, row, draw);
  if (!(target.distribution.total > 0.0)) {
    if (threadIdx.x == 0) p.tokens[row] = -1;
    return;
  }
  const bool drawn_draft = draw.draft_logits != nullptr;
  const Law draft = drawn_draft ? DraftLawOf(p, row, draw) : target;
  const Law* draft_law = drawn_draft ? &draft : nullptr;
  if (threadIdx.x == 0)
    accepted[0] = draw.rule == DrawRule::kRejection && Accepts(draw, target, draft_law) ? 1 : 0;
  __syncthreads();
  if (accepted[0] != 0) {
    if (threadIdx.x == 0) p.tokens[row] = draw.drafted;
    return;
  }
  const double u = UniformOnDevice(draw.noise_stream);
  int column = -1;
  if (draw.rule == DrawRule::kRejection) column = DrawResidual(draw, target, draft_law, u);
  __syncthreads();
  if (column < 0) column = DrawColumn(target.columns, u, target);
  if (threadIdx.x == 0) p.tokens[row] = TokenOf(p.ids, column);
}

}  // namespace

void DrawFromDistributions(Stream& stream, const DrawParameters& p) {
  Launch(stream, &RejectionKernel, dim3(p.num_rows), kDrawThreads, p);
}

}  // namespace reprise::cuda
