#include "engine/decoding/recycle.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace reprise {
namespace {

// Whether the module may come to draft for this request.
bool MayRecycle(const Request& request) {
  const bool method =
      request.decoding == DecodingMethod::kRecycle || request.decoding == DecodingMethod::kAuto;
  return method && request.proposer.value_or(ProposerKind::kRecycle) == ProposerKind::kRecycle &&
         request.max_draft_tokens.value_or(1) > 0;
}

}  // namespace

Result<std::unique_ptr<RecycleProposer>> RecycleProposer::Create(Backend& backend, RecycleModule& module,
                                                                 std::span<const KvLayer> kv,
                                                                 const BlockPool& pool,
                                                                 const DraftLimits& limits, int num_kept) {
  ASSIGN_OR_RETURN(DraftDraws draws,
                   DraftDraws::Create(backend, module.head_tokens(), module.num_head_rows(), limits));
  const std::size_t floats =
      static_cast<std::size_t>(limits.max_sequences) * static_cast<std::size_t>(module.hidden_size());
  ASSIGN_OR_RETURN(std::unique_ptr<DeviceMemory> hidden, backend.Allocate(floats * sizeof(float)));
  return std::unique_ptr<RecycleProposer>(
      new RecycleProposer(backend, module, kv, pool, limits, num_kept, std::move(draws), std::move(hidden)));
}

RecycleProposer::RecycleProposer(Backend& backend, RecycleModule& module, std::span<const KvLayer> kv,
                                 const BlockPool& pool, const DraftLimits& limits, int num_kept,
                                 DraftDraws draws, std::unique_ptr<DeviceMemory> chain_hidden)
    : backend_(backend),
      module_(module),
      kv_(kv),
      width_(module.hidden_size()),
      block_size_(limits.block_size),
      max_batch_tokens_(limits.max_batch_tokens),
      num_kept_(std::max(num_kept, 2 * limits.block_size)),
      ready_(pool),
      has_last_hidden_(pool),
      last_hidden_(static_cast<std::size_t>(pool.num_total()) * static_cast<std::size_t>(width_)),
      draws_(std::move(draws)),
      chain_hidden_(std::move(chain_hidden)),
      batch_(limits.block_size) {}

RecycleProposer::State& RecycleProposer::StateOf(const Sequence& sequence) {
  const auto [it, is_new] = states_.try_emplace(sequence.request->id);
  State& state = it->second;
  if (is_new || state.num_preemptions != sequence.num_preemptions) {
    state = {};
    state.num_preemptions = sequence.num_preemptions;
    BeginAtBlock(sequence, &state);
  }
  return state;
}

// The sequence has just got its blocks, some of them maybe from the prefix cache.
void RecycleProposer::BeginAtBlock(const Sequence& sequence, State* state) {
  const int blocks = sequence.num_computed / block_size_;
  state->first_block = blocks;
  while (state->first_block > 0 &&
         ready_.Noted(sequence.block_table[static_cast<std::size_t>(state->first_block - 1)])) {
    --state->first_block;
  }
  state->next_slot = state->num_noted = blocks * block_size_;
  if (sequence.num_computed % block_size_ != 0) {  // states inside a block are not kept
    state->hidden_begin = sequence.num_computed;
    return;
  }
  state->hidden_begin = state->next_slot - 1;
  state->hidden.assign(static_cast<std::size_t>(width_), 0.0f);
  if (blocks == 0) return;
  const BlockId last = sequence.block_table[static_cast<std::size_t>(blocks - 1)];
  if (!has_last_hidden_.Noted(last)) return;
  std::copy_n(last_hidden_.begin() + static_cast<std::ptrdiff_t>(last) * width_, width_,
              state->hidden.begin());
}

int RecycleProposer::FirstSlot(State* state) const {
  if (state->next_slot - 1 < state->hidden_begin) {
    // Attention begins at whole blocks.
    state->first_block = (state->hidden_begin + 1 + block_size_ - 1) / block_size_;
    state->next_slot = state->num_noted = state->first_block * block_size_;
  }
  return state->next_slot;
}

std::optional<DraftOffer> RecycleProposer::Offer(const Sequence& sequence) {
  if (!MayRecycle(*sequence.request)) return std::nullopt;
  const int slots = static_cast<int>(sequence.tokens.size()) - FirstSlot(&StateOf(sequence));
  if (slots <= 0) return std::nullopt;
  return DraftOffer{slots};
}

void RecycleProposer::Ingest(const DraftRequest& request) {
  const Sequence& sequence = *request.sequence;
  State* state = &StateOf(sequence);
  const auto end = static_cast<int>(sequence.tokens.size());
  const int first = FirstSlot(state);
  REPRISE_CHECK(first - 1 >= state->hidden_begin);
  for (int slot = first; slot < end;) {
    if (batch_.num_tokens() == max_batch_tokens_) RunBatch();
    const int at = batch_.num_tokens();
    const int length = std::min(end - slot, max_batch_tokens_ - at);
    const bool is_last = slot + length == end;
    const std::span<const TokenId> tokens =
        std::span(sequence.tokens).subspan(static_cast<std::size_t>(slot), static_cast<std::size_t>(length));
    batch_.Add(sequence, slot, tokens, is_last, state->first_block);
    backend_.Upload(
        module_.HiddenInput(batch_.num_tokens()).row(at),
        state->hidden.data() + static_cast<std::ptrdiff_t>(slot - 1 - state->hidden_begin) * width_,
        tokens.size() * static_cast<std::size_t>(width_) * sizeof(float));
    if (is_last) rows_.push_back(&request);
    slot += length;
  }
  state->next_slot = end;
  const int used = end - 1 - state->hidden_begin;  // the state at end - 1 serves the slot after them
  state->hidden.erase(state->hidden.begin(),
                      state->hidden.begin() + static_cast<std::ptrdiff_t>(used) * width_);
  state->hidden_begin += used;
  const int whole = std::min(end, sequence.num_computed);
  ready_.NoteWhole(sequence, state->num_noted, whole, block_size_);
  state->num_noted = std::max(state->num_noted, whole / block_size_ * block_size_);
}

void RecycleProposer::Propose(std::span<const DraftRequest> requests) {
  active_.clear();
  batch_.Clear();
  draws_.Begin(requests);
  for (const DraftRequest& request : requests) {
    request.draft->unverified = request.sequence->request->lenience <= 0.0f;
    Ingest(request);
  }
  RunBatch();
  while (!active_.empty()) {
    ExtendChains();
    RunBatch();
  }
  draws_.Finish(requests);
}

void RecycleProposer::ExtendChains() {
  const auto num_chains = static_cast<int>(active_.size());
  REPRISE_CHECK(num_chains <= max_batch_tokens_);
  for (const DraftRequest* request : active_) {
    const Draft& draft = *request->draft;
    const int position = static_cast<int>(request->sequence->tokens.size() + draft.tokens.size()) - 1;
    batch_.Add(*request->sequence, position, std::span(draft.tokens).last(1), true,
               StateOf(*request->sequence).first_block);
  }
  rows_.swap(active_);
  all_chains_.resize(static_cast<std::size_t>(num_chains));
  std::iota(all_chains_.begin(), all_chains_.end(), 0);
  backend_.GatherRows(ChainHidden(num_chains), all_chains_, module_.HiddenInput(num_chains));
}

void RecycleProposer::RunBatch() {
  if (batch_.num_tokens() == 0) return;
  const RecycleModule::Output output = module_.Forward(batch_.View(draws_.drawn()), kv_);
  batch_.Clear();
  if (rows_.empty()) return;
  draws_.Draw(rows_, output.logits, &unfinished_);
  if (!unfinished_.empty()) {
    MatrixView hidden = ChainHidden(static_cast<int>(unfinished_.size()));
    hidden.data = hidden.row(static_cast<int>(active_.size()));
    backend_.GatherRows(output.hidden, unfinished_, hidden);
    for (const int i : unfinished_) active_.push_back(rows_[static_cast<std::size_t>(i)]);
  }
  rows_.clear();
}

bool RecycleProposer::MustObserve(const ScheduledSequence& item) const {
  return item.num_tokens > 1 || MayRecycle(*item.sequence->request);
}

void RecycleProposer::Observe(const StepOutcome& outcome) {
  const ConstMatrixView hidden =
      backend_.ToHost(module_.config().hidden_kind == HiddenKind::kPostNorm ? outcome.output.hidden
                                                                            : outcome.output.residual);
  for (std::size_t i = 0; i < outcome.plan.items.size(); ++i) KeepHidden(outcome, i, hidden);
}

void RecycleProposer::KeepHidden(const StepOutcome& outcome, std::size_t item, ConstMatrixView hidden) {
  const ScheduledSequence& scheduled = outcome.plan.items[item];
  const Sequence& sequence = *scheduled.sequence;
  const int first_row = outcome.batch.query_start[item];
  const int begin = sequence.num_computed;
  // Rows of rejected tokens belong to nothing.
  const int end =
      begin + scheduled.num_tokens + std::max(0, static_cast<int>(outcome.accepted[item].tokens.size()) - 1);
  for (int b = begin / block_size_; (b + 1) * block_size_ <= end; ++b) {
    const BlockId block = sequence.block_table[static_cast<std::size_t>(b)];
    const float* row = hidden.row(first_row + (b + 1) * block_size_ - 1 - begin);
    std::copy_n(row, width_, last_hidden_.begin() + static_cast<std::ptrdiff_t>(block) * width_);
    has_last_hidden_.Note(block);
  }
  if (!MayRecycle(*sequence.request)) return;
  State& state = StateOf(sequence);
  REPRISE_CHECK(state.hidden_begin + NumHidden(state) == begin);
  const float* first = hidden.row(first_row);  // rows are contiguous
  REPRISE_CHECK(hidden.stride == width_);
  state.hidden.insert(state.hidden.end(), first, first + static_cast<std::ptrdiff_t>(end - begin) * width_);
  // Twice as many before some go, so that few are moved.
  if (NumHidden(state) < 2 * num_kept_) return;
  const int excess = NumHidden(state) - num_kept_;
  state.hidden.erase(state.hidden.begin(),
                     state.hidden.begin() + static_cast<std::ptrdiff_t>(excess) * width_);
  state.hidden_begin += excess;
}

}  // namespace reprise
