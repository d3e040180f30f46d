// The argmax of logits, or of logits and Gumbel noise.
#include "kernels/cuda/draw_kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/token_order.h"

namespace reprise::cuda {
namespace {

__device__ TokenKey BestOfRow(const DrawParameters& p, int row, const RowDraw& draw) {
  const float* logits = RowToDrawFrom(p, row);
  if (draw.inverse_temperature <= 0.0f || draw.rule == DrawRule::kThreshold)
    return BestKey(p.columns, [&](int i) { return MakeKey(logits[i], i); });
  const TokenKey cut = IsFiltered(draw) ? p.distributions[2 * row].cut : 1;
  return BestKey(p.columns, [&](int i) -> TokenKey {
    const float value = __fmul_rn(logits[i], draw.inverse_temperature);
    if (MakeKey(value, i) < cut) return 0;
    return MakeKey(__fadd_rn(value, GumbelOnDevice(draw.noise_stream, TokenOf(p.ids, i))), i);
  });
}

__global__ void __launch_bounds__(kDrawThreads) SampleKernel(DrawParameters p) {
  const int row = static_cast<int>(blockIdx.x);
  const RowDraw draw = RowOf(p, row);
  if (DrawsFromDistribution(draw)) return;
  const bool known = draw.rule == DrawRule::kNone || draw.rule == DrawRule::kGiven;
  const TokenKey best = known ? 0 : BestOfRow(p, row, draw);
  if (threadIdx.x != 0) return;
  TokenId token = best == 0 ? -1 : TokenOf(p.ids, ColumnOf(best));
  if (draw.rule == DrawRule::kGiven) token = draw.drafted;
  if (draw.rule == DrawRule::kThreshold && best != 0) {
    const float logit = RowToDrawFrom(p, row)[draw.drafted];
    if (logit > -INFINITY && __fadd_rn(logit, -ValueOf(best)) >= draw.lenience) token = draw.drafted;
  }
  p.tokens[row] = token;
}

}  // namespace

void SampleTokens(Stream& stream, const DrawParameters& p) {
  Launch(stream, &SampleKernel, dim3(p.num_rows), kDrawThreads, p);
}

}  // namespace reprise::cuda
