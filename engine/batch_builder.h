// Turns a plan of sequences into the flat arrays of a step. The one place where requests and tensors meet.
#pragma once

#include <span>
#include <vector>

#include "engine/decoding/proposer.h"
#include "kernels/batch_view.h"
#include "scheduler/scheduler.h"

namespace reprise {

class BatchBuilder {
 public:
  // Room for the largest step, so that building allocates nothing. `drawn`: as BatchView.
  BatchBuilder(int block_size, int max_tokens, int max_sequences, int max_logit_rows,
               int max_blocks_per_sequence, const TokenId* drawn = nullptr);

  // `drafts` has one entry per item. The view stays valid until the next call. Row order: item by item,
  // within an item by position; an item's logit rows are the last num_logit_rows tokens of its chunk, then
  // its drafted tokens; of an unverified draft only the last, unless log-probabilities are asked for.
  BatchView Build(const BatchPlan& plan, std::span<const Draft> drafts);

  // First logit row of each item, [items + 1].
  std::span<const int> logit_row_start() const { return logit_row_start_; }

 private:
  void AddItem(const ScheduledSequence& item, const Draft& draft);

  int block_size_;
  const TokenId* drawn_;
  std::vector<TokenId> token_ids_;
  std::vector<int> positions_, slots_, query_start_, context_len_, block_start_, logit_rows_,
      logit_row_start_;
  std::vector<BlockId> block_ids_;
};

}  // namespace reprise
