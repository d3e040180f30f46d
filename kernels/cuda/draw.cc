#include "kernels/cuda/draw.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cuda/draw_kernels.h"

namespace reprise::cuda {

void TokenDraws::Draw(const DrawArgs& args) {
  const auto any = [&args](auto&& property) { return std::ranges::any_of(args.rows, property); };
  const auto num_rows = static_cast<int>(args.rows.size());
  REPRISE_CHECK(num_rows == args.logits.rows &&
                args.logits.columns < 1 << 24);  // keys have 24 bits for tokens
  if (num_rows == 0) return;
  const auto rows = static_cast<std::size_t>(num_rows);
  DrawParameters p = {};
  // Memory first: what is staged does not outlive the flush that growing may take.
  const bool adjusts = any(&IsAdjusted);
  if (adjusts) {
    const std::size_t floats = rows * static_cast<std::size_t>(args.logits.columns);
    p.adjusted = static_cast<float*>(adjusted_.Reserve(floats * sizeof(float)));
  }
  p.distributions = static_cast<Distribution*>(distributions_.Reserve(2 * rows * sizeof(Distribution)));
  p.logits = args.logits.data;
  p.rows = stream_.Stage(args.rows);
  p.adjustments = stream_.Stage(args.adjustments);
  p.ahead = stream_.Stage(args.ahead);
  p.drawn = args.drawn;
  p.ids = args.ids;
  p.tokens = args.tokens;
  p.scores = args.scores;
  p.stride = args.logits.stride;
  p.columns = args.logits.columns;
  p.num_rows = num_rows;
  if (adjusts || any([](const RowDraw& row) { return row.keep != nullptr; })) AdjustLogits(stream_, p);
  const bool from_distributions = any(&DrawsFromDistribution);
  if (from_distributions || any(&IsFiltered)) FindDistributions(stream_, p);
  SampleTokens(stream_, p);
  if (from_distributions) DrawFromDistributions(stream_, p);
  if (any([](const RowDraw& row) { return row.num_logprobs >= 0; })) ScoreTokens(stream_, p);
}

}  // namespace reprise::cuda
