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

Result<RecycleScratch> RecycleScratch::Allocate(Backend& backend, const RecycleModule& module,
                                                const DraftLimits& limits) {
  ASSIGN_OR_RETURN(DraftDraws draws,
                   DraftDraws::Create(backend, module.head_tokens(), module.num_head_rows(), limits));
  const std::size_t floats =
      static_cast<std::size_t>(limits.max_sequences) * static_cast<std::size_t>(module.hidden_size());
  ASSIGN_OR_RETURN(std::unique_ptr<DeviceMemory> hidden, backend.Allocate(floats * sizeof(float)));
  return RecycleScratch{std::move(draws), std::move(hidden)};
}

RecycleProposer::RecycleProposer(Backend& backend, RecycleModule& module, const Memory& memory,
                                 const DraftLimits& limits, RecycleScratch own, int num_read)
    : backend_(backend),
      module_(module),
      kv_(memory.kv),
      hidden_states_(memory.hidden_states),
      width_(module.hidden_size()),
      block_size_(limits.block_size),
      max_batch_tokens_(limits.max_batch_tokens),
      num_read_(std::max(num_read, 2 * limits.block_size)),
      ready_(memory.pool),
      draws_(std::move(own.draws)),
      chain_hidden_(std::move(own.chain_hidden)),
      batch_(limits.block_size) {
  REPRISE_CHECK(hidden_states_.columns == width_ &&
                hidden_states_.rows == memory.pool.num_total() * block_size_ + 1);
}

bool RecycleProposer::IsReady(const Sequence& sequence, int block) const {
  return ready_.Noted(sequence.block_table[static_cast<std::size_t>(block)]);
}

// Sequences that share a block may read it in one batch: the first writes the module's keys and values, the
// others find it noted.
void RecycleProposer::SkipReadyBlocks(const Sequence& sequence, State* state) const {
  for (int block = state->next_slot / block_size_;
       (block + 1) * block_size_ <= sequence.num_computed && IsReady(sequence, block); ++block) {
    state->next_slot = (block + 1) * block_size_;
  }
}

RecycleProposer::State& RecycleProposer::StateOf(const Sequence& sequence) {
  const auto [it, is_new] = states_.try_emplace(sequence.request->id);
  State& state = it->second;
  // After a preemption it begins with other blocks than last time.
  if (is_new || state.num_preemptions != sequence.num_preemptions) state = {sequence.num_preemptions, 0, 0};
  SkipReadyBlocks(sequence, &state);
  const auto end = static_cast<int>(sequence.tokens.size());
  if (end - state.next_slot < 2 * num_read_) return state;
  // Attention begins at whole blocks.
  state.first_block = (end - num_read_ + block_size_ - 1) / block_size_;
  state.next_slot = state.first_block * block_size_;
  while (state.first_block > 0 && IsReady(sequence, state.first_block - 1)) --state.first_block;
  SkipReadyBlocks(sequence, &state);
  return state;
}

std::optional<DraftOffer> RecycleProposer::Offer(const Sequence& sequence) {
  if (!MayRecycle(*sequence.request)) return std::nullopt;
  return DraftOffer{static_cast<int>(sequence.tokens.size()) - StateOf(sequence).next_slot};
}

int RecycleProposer::HiddenRow(const Sequence& sequence, int slot) const {
  return slot > 0 ? sequence.Slot(slot - 1, block_size_) : hidden_states_.rows - 1;
}

void RecycleProposer::Ingest(const DraftRequest& request) {
  const Sequence& sequence = *request.sequence;
  State& state = StateOf(sequence);
  const auto end = static_cast<int>(sequence.tokens.size());
  const int first = state.next_slot;
  for (int slot = first; slot < end;) {
    if (batch_.num_tokens() == max_batch_tokens_) RunIngested();
    const int length = std::min(end - slot, max_batch_tokens_ - batch_.num_tokens());
    const bool is_last = slot + length == end;
    const std::span<const TokenId> tokens =
        std::span(sequence.tokens).subspan(static_cast<std::size_t>(slot), static_cast<std::size_t>(length));
    batch_.Add(sequence, slot, tokens, is_last, state.first_block);
    for (const int past = slot + length; slot < past; ++slot)
      hidden_rows_.push_back(HiddenRow(sequence, slot));
    if (is_last) rows_.push_back(&request);
  }
  state.next_slot = end;
  // The last slot's block is not whole before the target has computed its token.
  const int noted_before = std::max(state.first_block, (first - 1) / block_size_) * block_size_;
  ready_.NoteWhole(sequence, noted_before, std::min(end, sequence.num_computed), block_size_);
}

void RecycleProposer::Propose(std::span<const DraftRequest> requests) {
  active_.clear();
  batch_.Clear();
  hidden_rows_.clear();
  draws_.Begin();
  for (const DraftRequest& request : requests) {
    request.draft->unverified = request.sequence->request->lenience <= 0.0f;
    Ingest(request);
  }
  RunIngested();
  while (!active_.empty()) ExtendChains();
  draws_.Finish(requests);
}

void RecycleProposer::RunIngested() {
  if (batch_.num_tokens() == 0) return;
  backend_.GatherRows(hidden_states_, hidden_rows_, module_.HiddenInput(batch_.num_tokens()));
  hidden_rows_.clear();
  RunBatch();
}

void RecycleProposer::ExtendChains() {
  const auto num_chains = static_cast<int>(active_.size());
  REPRISE_CHECK(num_chains <= max_batch_tokens_);
  for (const DraftRequest* request : active_) {
    const Draft& draft = *request->draft;
    const int position = static_cast<int>(request->sequence->tokens.size() + draft.tokens.size()) - 1;
    batch_.Add(*request->sequence, position, std::span(draft.tokens).last(1), true,
               states_.at(request->sequence->request->id).first_block);
  }
  rows_.swap(active_);
  all_chains_.resize(static_cast<std::size_t>(num_chains));
  std::iota(all_chains_.begin(), all_chains_.end(), 0);
  backend_.GatherRows(ChainHidden(num_chains), all_chains_, module_.HiddenInput(num_chains));
  RunBatch();
}

void RecycleProposer::RunBatch() {
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

void RecycleProposer::AfterPass(const BatchView& batch, const Decoder::Output& output) {
  const bool normed = module_.config().hidden_kind == HiddenKind::kPostNorm;
  backend_.ScatterRows(normed ? output.hidden : output.residual, batch.slots, hidden_states_);
}

}  // namespace reprise
