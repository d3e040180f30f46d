#include "engine/decoding/draft_batch.h"

namespace reprise {

void DraftBatch::Clear() {
  for (auto* v : {&positions_, &slots_, &context_len_, &logit_rows_}) v->clear();
  for (auto* v : {&query_start_, &block_start_}) v->assign(1, 0);
  token_ids_.clear();
  block_ids_.clear();
}

void DraftBatch::Add(const Sequence& sequence, int first_position, std::span<const TokenId> tokens,
                     bool wants_logits, int first_block) {
  const int end = first_position + static_cast<int>(tokens.size());
  for (int position = first_position; position < end; ++position) {
    positions_.push_back(position);
    slots_.push_back(sequence.Slot(position, block_size_));
  }
  token_ids_.insert(token_ids_.end(), tokens.begin(), tokens.end());
  if (wants_logits) logit_rows_.push_back(num_tokens() - 1);
  const int num_blocks = (end + block_size_ - 1) / block_size_;
  block_ids_.insert(block_ids_.end(), sequence.block_table.begin() + first_block,
                    sequence.block_table.begin() + num_blocks);
  // Where the sequence begins, as far as attention is concerned; rope goes by the positions.
  context_len_.push_back(first_position - first_block * block_size_);
  query_start_.push_back(num_tokens());
  block_start_.push_back(static_cast<int>(block_ids_.size()));
}

}  // namespace reprise
