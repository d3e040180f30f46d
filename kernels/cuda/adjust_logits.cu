// Bias, bans and penalties.
#include "kernels/cuda/draw_kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/token_order.h"

namespace reprise::cuda {
namespace {

__device__ float Adjusted(const LogitAdjustment& by, float logit) {
  logit = __fadd_rn(logit, by.bias);
  if (by.repetition != 1.0f) logit = logit > 0.0f ? logit / by.repetition : __fmul_rn(logit, by.repetition);
  return __fadd_rn(logit, -by.subtracted);
}

__global__ void __launch_bounds__(kDrawThreads) AdjustKernel(DrawParameters p) {
  const int row = static_cast<int>(blockIdx.x);
  float* out = AdjustedRow(p, row);
  if (out == nullptr) return;
  const float* logits = p.logits + row * p.stride;
  for (int i = static_cast<int>(threadIdx.x); i < p.columns; i += kDrawThreads) out[i] = logits[i];
  __syncthreads();
  const RowDraw& draw = p.rows[row];
  for (int i = static_cast<int>(threadIdx.x); i < draw.num_adjustments; i += kDrawThreads) {
    const LogitAdjustment by = p.adjustments[draw.first_adjustment + i];
    const int column = ColumnOfToken(p.ids, p.columns, by.token);
    if (column >= 0) out[column] = Adjusted(by, out[column]);
  }
}

}  // namespace

void AdjustLogits(Stream& stream, const DrawParameters& p) {
  Launch(stream, &AdjustKernel, dim3(p.num_rows), kDrawThreads, p);
}

}  // namespace reprise::cuda
