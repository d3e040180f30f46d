#include "engine/batch_builder.h"

#include "base/check.h"

namespace reprise {

BatchBuilder::BatchBuilder(int block_size, int max_tokens, int max_sequences, int max_logit_rows,
                           int max_blocks_per_sequence, const TokenId* drawn)
    : block_size_(block_size), drawn_(drawn) {
  token_ids_.reserve(max_tokens);
  positions_.reserve(max_tokens);
  slots_.reserve(max_tokens);
  query_start_.reserve(max_sequences + 1);
  context_len_.reserve(max_sequences);
  block_start_.reserve(max_sequences + 1);
  block_ids_.reserve(static_cast<std::size_t>(max_sequences) * max_blocks_per_sequence);
  logit_rows_.reserve(max_logit_rows);
  logit_row_start_.reserve(max_sequences + 1);
}

BatchView BatchBuilder::Build(const BatchPlan& plan, std::span<const Draft> drafts) {
  REPRISE_CHECK(plan.items.size() == drafts.size());
  for (auto* v : {&positions_, &slots_, &context_len_, &logit_rows_}) v->clear();
  for (auto* v : {&query_start_, &block_start_, &logit_row_start_}) v->assign(1, 0);
  token_ids_.clear();
  block_ids_.clear();
  for (std::size_t i = 0; i < plan.items.size(); ++i) AddItem(plan.items[i], drafts[i]);
  return {token_ids_,   positions_, slots_,      query_start_, context_len_,
          block_start_, block_ids_, logit_rows_, drawn_};
}

void BatchBuilder::AddItem(const ScheduledSequence& item, const Draft& draft) {
  const Sequence& sequence = *item.sequence;
  REPRISE_CHECK(static_cast<int>(draft.tokens.size()) <= item.num_draft_tokens);
  const int first = sequence.num_computed;
  const int chunk_end = first + item.num_tokens;
  const int end = chunk_end + static_cast<int>(draft.tokens.size());
  const bool last_row_only =
      draft.unverified && !draft.tokens.empty() && sequence.request->sampling.num_logprobs < 0;
  const int first_row = last_row_only ? end - 1 : chunk_end - item.num_logit_rows;
  for (int position = first; position < end; ++position) {
    if (position >= first_row) logit_rows_.push_back(static_cast<int>(token_ids_.size()));
    token_ids_.push_back(position < chunk_end ? sequence.tokens[position]
                                              : draft.tokens[position - chunk_end]);
    positions_.push_back(position);
    slots_.push_back(sequence.Slot(position, block_size_));
  }
  const int num_blocks = (end + block_size_ - 1) / block_size_;
  block_ids_.insert(block_ids_.end(), sequence.block_table.begin(),
                    sequence.block_table.begin() + num_blocks);
  context_len_.push_back(first);
  query_start_.push_back(static_cast<int>(token_ids_.size()));
  block_start_.push_back(static_cast<int>(block_ids_.size()));
  logit_row_start_.push_back(static_cast<int>(logit_rows_.size()));
}

}  // namespace reprise
