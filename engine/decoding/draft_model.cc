#include "engine/decoding/draft_model.h"

#include <algorithm>
#include <utility>

namespace reprise {

Result<DraftDraws> DraftModelProposer::AllocateDraws(Backend& backend, const Decoder& decoder,
                                                     const DraftLimits& limits) {
  const VocabularyWeights& vocabulary = decoder.vocabulary();
  return DraftDraws::Create(backend, vocabulary.head_tokens, vocabulary.head->rows(), limits);
}

DraftModelProposer::DraftModelProposer(Decoder& decoder, std::span<const KvLayer> kv, const BlockPool& pool,
                                       const DraftLimits& limits, DraftDraws draws)
    : decoder_(decoder),
      kv_(kv),
      ready_(pool),
      block_size_(limits.block_size),
      max_batch_tokens_(limits.max_batch_tokens),
      draws_(std::move(draws)),
      batch_(limits.block_size) {}

DraftModelProposer::State& DraftModelProposer::StateOf(const Sequence& sequence) {
  const auto [it, is_new] = states_.try_emplace(sequence.request->id);
  State& state = it->second;
  if (is_new || state.num_preemptions != sequence.num_preemptions) {
    state = {0, 0, sequence.num_preemptions};  // it begins with other blocks than last time
  }
  // Blocks that hold what the draft model needs already. Sequences that share a block may catch up in one
  // batch: the first writes it, the others find it noted, and attention reads what the batch has stored.
  while (state.num_computed % block_size_ == 0 && state.num_computed + block_size_ <= sequence.num_computed &&
         ready_.Noted(sequence.block_table[static_cast<std::size_t>(state.num_computed / block_size_)])) {
    state.num_noted = state.num_computed += block_size_;
  }
  return state;
}

void DraftModelProposer::Propose(std::span<const DraftRequest> requests) {
  draws_.Begin();
  CatchUp(requests);
  while (!rows_.empty()) {
    batch_.Clear();
    for (const DraftRequest* request : rows_) {
      const Draft& draft = *request->draft;
      const Sequence& sequence = *request->sequence;
      const int position = static_cast<int>(sequence.tokens.size() + draft.tokens.size()) - 1;
      batch_.Add(sequence, position, std::span(draft.tokens).last(1), true);
    }
    RunBatch();
  }
  draws_.Finish(requests);
}

void DraftModelProposer::CatchUp(std::span<const DraftRequest> requests) {
  int budget = max_batch_tokens_;
  batch_.Clear();
  rows_.clear();
  for (const DraftRequest& request : requests) {
    const Sequence& sequence = *request.sequence;
    State& state = StateOf(sequence);
    const int size = static_cast<int>(sequence.tokens.size());
    const int length = std::min(size - state.num_computed, budget);
    if (length <= 0) continue;
    const bool reaches_end = state.num_computed + length == size;
    batch_.Add(sequence, state.num_computed,
               std::span(sequence.tokens)
                   .subspan(static_cast<std::size_t>(state.num_computed), static_cast<std::size_t>(length)),
               reaches_end);
    state.num_computed += length;
    budget -= length;
    NoteBlocks(sequence, state);
    if (reaches_end) rows_.push_back(&request);
  }
  if (batch_.num_tokens() > 0) RunBatch();
}

void DraftModelProposer::NoteBlocks(const Sequence& sequence, State& state) {
  // The target's last token is not in its cache yet.
  const int end = std::min(state.num_computed, sequence.num_computed);
  ready_.NoteWhole(sequence, state.num_noted, end, block_size_);
  state.num_noted = std::max(state.num_noted, end / block_size_ * block_size_);
}

void DraftModelProposer::RunBatch() {
  const Decoder::Output output = decoder_.Forward(batch_.View(draws_.drawn()), kv_);
  if (rows_.empty()) return;
  draws_.Draw(rows_, output.logits, &unfinished_);
  for (std::size_t i = 0; i < unfinished_.size(); ++i) {
    rows_[i] = rows_[static_cast<std::size_t>(unfinished_[i])];
  }
  rows_.resize(unfinished_.size());
}

void DraftModelProposer::Observe(const StepOutcome& outcome) {
  for (std::size_t i = 0; i < outcome.plan.items.size(); ++i) {
    const ScheduledSequence& item = outcome.plan.items[i];
    const auto found = states_.find(item.sequence->request->id);
    if (found == states_.end() || item.num_draft_tokens == 0) continue;
    State& state = found->second;
    const int size = static_cast<int>(item.sequence->tokens.size());
    if (state.num_computed != size) continue;  // somebody else drafted
    // It wrote every drafted token but the last, and of those the accepted ones stay.
    const int num_drafted = outcome.batch.query_start[i + 1] - outcome.batch.query_start[i] - item.num_tokens;
    const int num_accepted = static_cast<int>(outcome.accepted[i].tokens.size()) - 1;
    state.num_computed = size + std::max(0, std::min(num_accepted, num_drafted - 1));
  }
}

}  // namespace reprise
