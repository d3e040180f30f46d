// From sampling parameters to rows of draws (kernels/draw.h), for the target's logits and for drafts'.
#pragma once

#include <span>
#include <vector>

#include "base/noise.h"
#include "engine/logits_processor.h"
#include "kernels/backend.h"
#include "scheduler/sequence.h"

namespace reprise {

class RowDraws {
 public:
  // `vocab_size` is the target's.
  explicit RowDraws(int vocab_size) : vocab_size_(vocab_size) {}

  void Clear();
  // The token that follows `sequence` and the `drafted` tokens: drawn by rule kSample, with the request's
  // adjustments, temperature and filters and its noise of that kind and position. `penalties` are those of
  // the sequence's tokens that are known; stand-ins are counted on the device. The caller may change rule and
  // judgement until the next call.
  RowDraw& Add(const Sequence& sequence, std::span<const TokenId> drafted, const PenaltyState& penalties,
               NoiseKind kind = NoiseKind::kSample);
  // A token that is known.
  RowDraw& AddGiven(TokenId token);
  // A row that nobody wants a token of.
  void AddNone();

  std::span<const RowDraw> rows() const { return rows_; }
  // Of the rows added, but for what is to come out where: `drawn` is what stand-ins are rows of.
  DrawArgs Args(ConstMatrixView logits, const TokenId* drawn) const;

 private:
  int vocab_size_;
  std::vector<RowDraw> rows_;
  std::vector<LogitAdjustment> adjustments_;
  std::vector<TokenId> ahead_;
};

// Of a draw for the request at an absolute position.
std::uint64_t NoiseStreamOf(const Request& request, std::size_t position, NoiseKind kind);

}  // namespace reprise
