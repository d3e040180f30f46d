// Bias, bans and penalties.
#include "kernels/cuda/draw_kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/token_order.h"

namespace reprise::cuda {
namespace {

__device__ void Adjust(const DrawParameters& p, const RowDraw& draw, const LogitAdjustment& by, float* row) {
  const int column = ColumnOfToken(p.ids, p.columns, by.token);
  if (column < 0) return;
  float logit = __fadd_rn(row[column], by.bias);
  if (by.count >= 0 && draw.repetition != 1.0f)
    logit = logit > 0.0f ? logit / draw.repetition : __fmul_rn(logit, draw.repetition);
  if (by.count > 0) {
    const float counted = __fmul_rn(draw.frequency, static_cast<float>(by.count));
    logit = __fadd_rn(logit, -__fadd_rn(counted, draw.presence));
  }
  row[column] = logit;
}

// What has been generated ahead of what the host knows is counted here.
__global__ void __launch_bounds__(kDrawThreads) AdjustKernel(DrawParameters p) {
  SHARED_ARRAY(TokenId, ahead, [kMaxAhead]);
  SHARED_ARRAY(int, listed, [kMaxAhead]);  // whether the token has an adjustment of the host's
  const int row = static_cast<int>(blockIdx.x);
  const auto thread = static_cast<int>(threadIdx.x);
  float* out = AdjustedRow(p, row);
  if (out == nullptr) return;
  const RowDraw& draw = p.rows[row];
  const float* logits = p.logits + row * p.stride;
  for (int i = thread; i < p.columns; i += kDrawThreads) out[i] = logits[i];
  if (thread < draw.num_ahead) {
    ahead[thread] = Resolved(p, p.ahead[draw.first_ahead + thread]);
    listed[thread] = 0;
  }
  __syncthreads();
  for (int i = thread; i < draw.num_adjustments; i += kDrawThreads) {
    LogitAdjustment by = p.adjustments[draw.first_adjustment + i];
    for (int a = 0; a < draw.num_ahead; ++a) {
      if (ahead[a] != by.token) continue;
      by.count = (by.count > 0 ? by.count : 0) + 1;
      listed[a] = 1;
    }
    Adjust(p, draw, by, out);
  }
  __syncthreads();
  if (thread >= draw.num_ahead || listed[thread] != 0) return;
  LogitAdjustment by = {ahead[thread], 0.0f, 0};
  for (int a = 0; a < draw.num_ahead; ++a) {
    if (ahead[a] != by.token) continue;
    if (a < thread) return;  // that thread does it; no barrier follows
    ++by.count;
  }
  Adjust(p, draw, by, out);
}

}  // namespace

void AdjustLogits(Stream& stream, const DrawParameters& p) {
  Launch(stream, &AdjustKernel, dim3(p.num_rows), kDrawThreads, p);
}

}  // namespace reprise::cuda
