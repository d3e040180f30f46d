#include "engine/row_draws.h"

#include <cmath>

namespace reprise {

std::uint64_t NoiseStreamOf(const Request& request, std::size_t position, NoiseKind kind) {
  return NoiseStream({request.sampling.seed, request.choice, static_cast<std::uint32_t>(position), kind});
}

void RowDraws::Clear() {
  rows_.clear();
  adjustments_.clear();
}

RowDraw& RowDraws::Add(const Sequence& sequence, std::size_t ahead, const PenaltyState& penalties,
                       NoiseKind kind) {
  const Request& request = *sequence.request;
  const SamplingParams& params = request.sampling;
  const int num_generated = sequence.num_generated() + static_cast<int>(ahead);
  RowDraw row;
  row.first_adjustment = static_cast<int>(adjustments_.size());
  if (NeedsAdjustment(request, num_generated))
    CollectAdjustments(request, penalties, num_generated, vocab_size_, &adjustments_);
  row.num_adjustments = static_cast<int>(adjustments_.size()) - row.first_adjustment;
  if (params.temperature > 0.0f) {
    row.noise_stream = NoiseStreamOf(request, sequence.tokens.size() + ahead, kind);
    row.inverse_temperature = 1.0f / params.temperature;
    row.top_k = params.top_k;
    row.top_p = params.top_p;
    if (params.min_p > 0.0f) row.log_min_p = std::log(params.min_p);
  }
  return rows_.emplace_back(row);
}

RowDraw& RowDraws::AddGiven(TokenId token) {
  RowDraw row;
  row.rule = DrawRule::kGiven;
  row.drafted = token;
  return rows_.emplace_back(row);
}

}  // namespace reprise
