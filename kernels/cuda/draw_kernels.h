// The kernels that draw tokens, in the order in which they run; one block a row.
#pragma once

#include <cstdint>

#include "kernels/cuda/host_device.h"
#include "kernels/cuda/stream.h"
#include "kernels/draw.h"

namespace reprise::cuda {

REPRISE_HOST_DEVICE inline bool IsFiltered(const RowDraw& draw) {
  return draw.inverse_temperature > 0.0f &&
         (draw.top_k > 0 || draw.top_p < 1.0f || draw.log_min_p > -INFINITY);
}
REPRISE_HOST_DEVICE inline bool DrawsFromDistribution(const RowDraw& draw) {
  return draw.rule == DrawRule::kDraft || draw.rule == DrawRule::kRejection;
}

REPRISE_HOST_DEVICE inline bool JudgesDraft(const RowDraw& draw) {
  return draw.rule == DrawRule::kGiven || draw.rule == DrawRule::kThreshold ||
         draw.rule == DrawRule::kRejection;
}
REPRISE_HOST_DEVICE inline bool IsAdjusted(const RowDraw& draw) {
  return draw.num_adjustments > 0 || draw.num_ahead > 0;
}

// What the filters leave of a row, and its sum. Of two tokens the better one has the larger key
// (token_order.h).
struct Distribution {
  unsigned long long cut;  // the smallest key that is left; ~0: no logit is finite
  double total;            // of exp(logit / T - max) over what is left
  float max;               // of logit / T
  int unused;
};

// Of all kernels. Everything on the device.
struct DrawParameters {
  const float* logits;
  const RowDraw* rows;
  const LogitAdjustment* adjustments;
  const TokenId* ahead;
  const TokenId* drawn;
  const TokenId* ids;
  float* adjusted;              // [R, columns]: rows with adjustments that are not kept elsewhere
  Distribution* distributions;  // [R, 2]: of the row, and of the row that its drafted token came from
  TokenId* tokens;
  TokenScore* scores;
  std::int64_t stride;
  int columns;
  int num_rows;
};

// Writes adjusted rows, to `adjusted` or where they are kept.
void AdjustLogits(Stream& stream, const DrawParameters& p);
// Fills `distributions` for the rows whose rule or filters need them.
void FindDistributions(Stream& stream, const DrawParameters& p);
// Tokens of rows with rule kGiven, kSample and kThreshold.
void SampleTokens(Stream& stream, const DrawParameters& p);
// Tokens of rows with rule kDraft and kRejection.
void DrawFromDistributions(Stream& stream, const DrawParameters& p);
// Log-probabilities of what has been drawn.
void ScoreTokens(Stream& stream, const DrawParameters& p);

}  // namespace reprise::cuda
