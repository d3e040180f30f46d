#include "engine/row_draws.h"

#include <cmath>

namespace reprise {

std::uint64_t NoiseStreamOf(const Request& request, std::size_t position, NoiseKind kind) {
  return NoiseStream({request.sampling.seed, request.choice, static_cast<std::uint32_t>(position), kind});
}

void RowDraws::Clear() {
  rows_.clear();
  adjustments_.clear();
  ahead_.clear();
}

RowDraw& RowDraws::Add(const Sequence& sequence, std::span<const TokenId> drafted,
                       const PenaltyState& penalties, NoiseKind kind) {
  const Request& request = *sequence.request;
  const SamplingParams& params = request.sampling;
  const int num_generated = sequence.num_generated() + static_cast<int>(drafted.size());
  RowDraw row;
  row.first_adjustment = static_cast<int>(adjustments_.size());
  if (NeedsAdjustment(request, num_generated))
    CollectAdjustments(request, penalties, num_generated, vocab_size_, &adjustments_);
  row.num_adjustments = static_cast<int>(adjustments_.size()) - row.first_adjustment;
  row.first_ahead = static_cast<int>(ahead_.size());
  if (penalties.active()) {
    row.repetition = params.repetition_penalty;
    row.frequency = params.frequency_penalty;
    row.presence = params.presence_penalty;
    if (sequence.tokens.back() < 0) ahead_.push_back(sequence.tokens.back());
    ahead_.insert(ahead_.end(), drafted.begin(), drafted.end());
  }
  row.num_ahead = static_cast<int>(ahead_.size()) - row.first_ahead;
  if (params.temperature > 0.0f) {
    row.noise_stream = NoiseStreamOf(request, sequence.tokens.size() + drafted.size(), kind);
    row.inverse_temperature = 1.0f / params.temperature;
    row.top_k = params.top_k;
    row.top_p = params.top_p;
    if (params.min_p > 0.0f) row.log_min_p = std::log(params.min_p);
  }
  return rows_.emplace_back(row);
}

RowDraw& RowDraws::AddGiven(TokenId token) {
  RowDraw& row = rows_.emplace_back();
  row.rule = DrawRule::kGiven;
  row.drafted = token;
  return row;
}

void RowDraws::AddNone() {
  rows_.emplace_back().rule = DrawRule::kNone;
}

DrawArgs RowDraws::Args(ConstMatrixView logits, const TokenId* drawn) const {
  DrawArgs args;
  args.logits = logits;
  args.rows = rows_;
  args.adjustments = adjustments_;
  args.ahead = ahead_;
  args.drawn = drawn;
  return args;
}

}  // namespace reprise
