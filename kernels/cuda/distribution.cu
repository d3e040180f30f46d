// What min-p, top-k and top-p leave of a row: all tokens down to one key, which is found without sorting.
#include "kernels/cuda/draw_kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/token_order.h"

namespace reprise::cuda {
namespace {

constexpr int kBins = 256;
constexpr int kBinsPerLane = kBins / kWarp;
constexpr float kBinsPerNat = 8.0f;
// Probabilities, relative to the largest, are summed as integers: sums do not depend on their order. What is
// below half of 2^-44 counts for nothing.
constexpr float kWeightOne = 17592186044416.0f;  // 2^44
constexpr float kDeepest = 31.0f;                // nats below the maximum; exp(-31) < 2^-44

struct ScaledRow {
  const float* logits;
  int columns;
  float scale;  // 1 / T
  float max;    // of the scaled logits

  __device__ TokenKey Key(int i) const { return MakeKey(__fmul_rn(logits[i], scale), i); }
};

struct CountOne {
  __device__ TokenKey operator()(TokenKey) const { return 1; }
};
struct ProbabilityWeight {
  float max;
  __device__ TokenKey operator()(TokenKey key) const {
    const float depth = max - ValueOf(key);
    return depth < kDeepest ? static_cast<TokenKey>(expf(-depth) * kWeightOne) : 0;
  }
};

// The bin in which the target is reached.
struct Choice {
  TokenKey before;  // weight of the better bins
  unsigned bin;     // kBins: in none
  unsigned count;   // keys in it
};

// Keys that agree with what has been found of the cut. Digit 0 is the distance from the maximum, which
// spreads the keys over the bins; then come the key's bytes, without the one that no column fills.
struct Search {
  TokenKey found = 0;
  TokenKey known = 0;  // which bits of `found` are
  unsigned depth_bin = 0;
  int level = 0;

  __device__ static unsigned DepthBin(float max, TokenKey key) {
    const float bin = (max - ValueOf(key)) * kBinsPerNat;
    return bin < static_cast<float>(kBins - 1) ? static_cast<unsigned>(bin) : kBins - 1;
  }
  __device__ int shift() const {
    return level <= 4 ? 64 - 8 * level : 56 - 8 * level;
  }  // 56 ... 32, 16, 8, 0
  __device__ bool Matches(float max, TokenKey key) const {
    return level == 0 || ((key & known) == found && DepthBin(max, key) == depth_bin);
  }
  __device__ unsigned Digit(float max, TokenKey key) const {
    return level == 0 ? DepthBin(max, key) : 255u - static_cast<unsigned>(key >> shift() & 255u);
  }
  __device__ void Descend(unsigned digit) {
    if (level == 0) {
      depth_bin = digit;
    } else {
      known |= TokenKey{255} << shift();
      found |= TokenKey{255u - digit} << shift();
    }
    ++level;
  }
};

// The first warp looks for the bin; `above` is the weight of what is better than all of them, and less than
// the target.
__device__ void ChooseBin(const TokenKey* weights, const unsigned* counts, TokenKey above, double target,
                          Choice* choice) {
  const int lane = static_cast<int>(threadIdx.x);
  TokenKey own = 0;
  for (int i = 0; i < kBinsPerLane; ++i) own += weights[lane * kBinsPerLane + i];
  TokenKey before = above + WarpPrefixSum(own) - own;
  if (lane == 0) *choice = {0, kBins, 0};
  __syncwarp();
  if (static_cast<double>(before) >= target || static_cast<double>(before + own) < target) return;
  int bin = lane * kBinsPerLane;
  while (static_cast<double>(before + weights[bin]) < target) before += weights[bin++];
  *choice = {before, static_cast<unsigned>(bin), counts[bin]};
}

// The key at which the weights of the row's keys down to `floor`, best first, add up to the target; `floor`
// where they do not.
template <typename WeightOf>
__device__ TokenKey FindCut(const ScaledRow& row, TokenKey floor, double target, WeightOf weight_of) {
  SHARED_ARRAY(TokenKey, weights, [kBins]);
  SHARED_ARRAY(unsigned, counts, [kBins]);
  SHARED_ARRAY(Choice, choice, [1]);
  Search search;
  TokenKey above = 0;
  for (;;) {
    for (int bin = static_cast<int>(threadIdx.x); bin < kBins; bin += kDrawThreads) {
      weights[bin] = 0;
      counts[bin] = 0;
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < row.columns; i += kDrawThreads) {
      const TokenKey key = row.Key(i);
      if (key < floor || !search.Matches(row.max, key)) continue;
      const TokenKey weight = weight_of(key);
      if (weight == 0) continue;
      const unsigned digit = search.Digit(row.max, key);
      atomicAdd(&weights[digit], weight);
      atomicAdd(&counts[digit], 1u);
    }
    __syncthreads();
    if (threadIdx.x < kWarp) ChooseBin(weights, counts, above, target, &choice[0]);
    __syncthreads();
    const Choice chosen = choice[0];
    if (chosen.bin == kBins) return floor;
    above = chosen.before;
    search.Descend(chosen.bin);
    if (chosen.count == 1) break;
  }
  return BestKey(row.columns, [&](int i) {
    const TokenKey key = row.Key(i);
    return key >= floor && search.Matches(row.max, key) && weight_of(key) > 0 ? key : 0;
  });
}

__device__ TokenKey Filter(const ScaledRow& row, const RowDraw& draw) {
  TokenKey cut = 1;
  if (draw.log_min_p > -INFINITY)
    cut = MakeKey(__fadd_rn(row.max, draw.log_min_p), 0) & ~TokenKey{0xffffffffu};
  if (draw.top_k > 0 && draw.top_k < row.columns) cut = FindCut(row, cut, draw.top_k, CountOne());
  if (draw.top_p < 1.0f) {
    const ProbabilityWeight weight_of = {row.max};
    TokenKey total = 0;
    for (int i = static_cast<int>(threadIdx.x); i < row.columns; i += kDrawThreads) {
      const TokenKey key = row.Key(i);
      if (key >= cut) total += weight_of(key);
    }
    total = BlockReduce<kDrawThreads>(total, Sum());
    const double target = static_cast<double>(draw.top_p) * static_cast<double>(total);
    cut = FindCut(row, cut, target, weight_of);
  }
  return cut;
}

__device__ Distribution FindDistribution(ScaledRow row, const RowDraw& draw) {
  const TokenKey best = BestKey(row.columns, [&](int i) { return row.Key(i); });
  if (best == 0) return {~0ull, 0.0, 0.0f, 0};
  row.max = ValueOf(best);
  const TokenKey cut = Filter(row, draw);
  double total = 0.0;
  for (int i = static_cast<int>(threadIdx.x); i < row.columns; i += kDrawThreads) {
    const TokenKey key = row.Key(i);
    if (key >= cut) total += expf(ValueOf(key) - row.max);
  }
  return {cut, BlockReduce<kDrawThreads>(total, Sum()), row.max, 0};
}

// Block (row, 0) looks at the row, block (row, 1) at the one its drafted token came from.
__global__ void __launch_bounds__(kDrawThreads) DistributionKernel(DrawParameters p) {
  const int row = static_cast<int>(blockIdx.x);
  const RowDraw draw = RowOf(p, row);
  if (!DrawsFromDistribution(draw) && (draw.rule != DrawRule::kSample || !IsFiltered(draw))) return;
  ScaledRow scaled = {RowToDrawFrom(p, row), p.columns, draw.inverse_temperature, 0.0f};
  if (blockIdx.y == 1) {
    if (draw.rule != DrawRule::kRejection || draw.draft_logits == nullptr) return;
    scaled.logits = draw.draft_logits;
    scaled.columns = draw.draft_columns;
  }
  const Distribution found = FindDistribution(scaled, draw);
  if (threadIdx.x == 0) p.distributions[2 * row + blockIdx.y] = found;
}

}  // namespace

void FindDistributions(Stream& stream, const DrawParameters& p) {
  Launch(stream, &DistributionKernel, dim3(p.num_rows, 2), kDrawThreads, p);
}

}  // namespace reprise::cuda
