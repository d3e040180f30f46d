// Where a step's draws lie on a device that draws tokens: ids of drafted tokens, for each proposer that may
// have a model, then the ids of the step's rows of logits, then scores. One array, so that a stand-in below
// zero (BatchView::drawn) says by itself which id it means, and one copy brings all of it to the host.
#pragma once

#include <cstddef>

#include "engine/decoding/proposer.h"
#include "kernels/draw.h"

namespace reprise {

class DrawnMemory {
 public:
  // For steps of up to max_rows rows of logits, and as many drafted tokens of each proposer.
  static constexpr std::size_t Bytes(int max_rows) {
    const std::size_t rows = static_cast<std::size_t>(max_rows);
    return rows * (kNumDrafting + 1) * sizeof(TokenId) + rows * (1 + kMaxLogprobs) * sizeof(TokenScore);
  }

  DrawnMemory(void* memory, int max_rows) : ids_(static_cast<TokenId*>(memory)), max_rows_(max_rows) {}

  TokenId* ids() const { return ids_; }
  // Index of a proposer's first drafted token.
  int first_draft(ProposerKind proposer) const { return static_cast<int>(IndexOf(proposer)) * max_rows_; }
  // Index of the token of row 0.
  int first_row() const { return kNumDrafting * max_rows_; }
  static TokenId StandInFor(int index) { return -1 - index; }
  static int IndexOfStandIn(TokenId stand_in) { return -1 - stand_in; }

 private:
  static constexpr int kNumDrafting = 2;
  static_assert(IndexOf(ProposerKind::kRecycle) < kNumDrafting &&
                IndexOf(ProposerKind::kDraftModel) < kNumDrafting);

  TokenId* ids_;
  int max_rows_;
};

}  // namespace reprise
