// The ragged batch of a draft model or a recycle module: some positions of some sequences, behind the same
// block tables as the target's.
#pragma once

#include <span>
#include <vector>

#include "kernels/batch_view.h"
#include "scheduler/sequence.h"

namespace reprise {

class DraftBatch {
 public:
  explicit DraftBatch(int block_size) : block_size_(block_size) { Clear(); }

  void Clear();
  // `tokens` at positions first_position ... of `sequence`, whose block table covers them. Attention begins
  // with the sequence's block `first_block`. With `wants_logits`, the last token gets a row of logits.
  void Add(const Sequence& sequence, int first_position, std::span<const TokenId> tokens, bool wants_logits,
           int first_block = 0);

  // Valid until the next Clear or Add. `drawn`: what negative tokens stand for.
  BatchView View(const TokenId* drawn = nullptr) const {
    return {token_ids_,   positions_, slots_,      query_start_, context_len_,
            block_start_, block_ids_, logit_rows_, drawn};
  }
  int num_tokens() const { return static_cast<int>(token_ids_.size()); }

 private:
  int block_size_;
  std::vector<TokenId> token_ids_;
  std::vector<int> positions_, slots_, query_start_, context_len_, block_start_, logit_rows_;
  std::vector<BlockId> block_ids_;
};

}  // namespace reprise
