// From sampling parameters to rows of draws (kernels/draw.h), for the target's logits and for drafts'.
#pragma once

#include <span>
#include <vector>

#include "base/noise.h"
#include "engine/logits_processor.h"
#include "kernels/draw.h"
#include "scheduler/sequence.h"

namespace reprise {

class RowDraws {
 public:
  // `vocab_size` is the target's.
  explicit RowDraws(int vocab_size) : vocab_size_(vocab_size) {}

  void Clear();
  // The token that follows `sequence` and `ahead` tokens more, which `penalties` includes: drawn by rule
  // kSample, with the request's adjustments, temperature and filters and its noise of that kind and position.
  // The caller may change rule and judgement until the next call.
  RowDraw& Add(const Sequence& sequence, std::size_t ahead, const PenaltyState& penalties,
               NoiseKind kind = NoiseKind::kSample);
  // A token that is known; -1: of no interest.
  RowDraw& AddGiven(TokenId token);

  std::span<const RowDraw> rows() const { return rows_; }
  std::span<const LogitAdjustment> adjustments() const { return adjustments_; }

 private:
  int vocab_size_;
  std::vector<RowDraw> rows_;
  std::vector<LogitAdjustment> adjustments_;
};

// Of a draw for the request at an absolute position.
std::uint64_t NoiseStreamOf(const Request& request, std::size_t position, NoiseKind kind);

}  // namespace reprise
