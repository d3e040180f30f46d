// Drafts with a recycle module (RecycleGPT, 2308.03421): re-uses the hidden states of the target's last pass.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/decoding/block_notes.h"
#include "engine/decoding/draft_batch.h"
#include "engine/decoding/draft_draws.h"
#include "engine/decoding/proposer.h"
#include "models/recycle_module.h"

namespace reprise {

// The module's slot j needs the target's hidden state at j - 1, which exists only in the step that computes
// it. So the latest states of every sequence that may be drafted for are kept until the module has ingested
// them, and every block keeps the state of its last token, for whoever shares the block. What has been lost
// (a prefix that the module never saw) or let go (a long prompt or pause) moves the sequence's window
// forward: the module attends from a later block on. That changes what is drafted, never what is emitted.
class RecycleProposer final : public Proposer {
 public:
  // `module` has been reserved for the limits' tokens and a row for every sequence. `kv` has one entry per
  // layer of it. All outlive the proposer. Of what the module has not read the latest `num_kept` states (and
  // at least two blocks' worth) are kept, at most twice as many. The default is small, since reading costs a
  // pass over what is read and hardly improves drafts: SmolLM2's module gives 1.350 tokens a pass with all of
  // the prompt, and 1.347 with the last 16 tokens of it. RESOURCE_EXHAUSTED when the device is out of memory.
  static Result<std::unique_ptr<RecycleProposer>> Create(Backend& backend, RecycleModule& module,
                                                         std::span<const KvLayer> kv, const BlockPool& pool,
                                                         const DraftLimits& limits, int num_kept = 32);

  ProposerKind kind() const override { return ProposerKind::kRecycle; }
  std::optional<DraftOffer> Offer(const Sequence& sequence) override;
  void Propose(std::span<const DraftRequest> requests) override;
  // Prompts are shared most: their blocks keep states, whoever computes them.
  bool MustObserve(const ScheduledSequence& item) const override;
  void Observe(const StepOutcome& outcome) override;
  void Forget(RequestId id) override { states_.erase(id); }

 private:
  struct State {
    int num_preemptions = 0;
    int first_block = 0;        // where the module's attention begins
    int next_slot = 0;          // slots [first_block * block_size, next_slot) are in the module's cache
    int num_noted = 0;          // of those, in blocks that have been noted as ready
    int hidden_begin = 0;       // position of the first kept state; -1: the zeros before position 0
    std::vector<float> hidden;  // [n, D], of consecutive positions
  };

  RecycleProposer(Backend& backend, RecycleModule& module, std::span<const KvLayer> kv, const BlockPool& pool,
                  const DraftLimits& limits, int num_kept, DraftDraws draws,
                  std::unique_ptr<DeviceMemory> chain_hidden);
  State& StateOf(const Sequence& sequence);
  void BeginAtBlock(const Sequence& sequence, State* state);
  int NumHidden(const State& state) const { return static_cast<int>(state.hidden.size()) / width_; }
  void KeepHidden(const StepOutcome& outcome, std::size_t item, ConstMatrixView hidden);
  // The first slot that can be ingested; moves the window when states before it are gone.
  int FirstSlot(State* state) const;
  // Adds the slots that the module has not read to batches, running full ones; the last slot wants logits.
  // Forgets the states used.
  void Ingest(const DraftRequest& request);
  // A batch of the next slot of each chain in `active_`.
  void ExtendChains();
  // Runs what has been added, and draws a token for each row; chains that go on are in `active_` then, in the
  // order of their states in chain_hidden_.
  void RunBatch();
  // The first `n` of chain_hidden_.
  MatrixView ChainHidden(int n) const {
    return {static_cast<float*>(chain_hidden_->data()), n, width_, width_};
  }

  Backend& backend_;
  RecycleModule& module_;
  std::span<const KvLayer> kv_;
  int width_;
  int block_size_;
  int max_batch_tokens_;
  int num_kept_;
  BlockNotes ready_;                // blocks whose slots are in the module's cache
  BlockNotes has_last_hidden_;      // blocks with an entry below
  std::vector<float> last_hidden_;  // [blocks, D]
  std::unordered_map<RequestId, State> states_;
  DraftDraws draws_;
  // [max_sequences, D], device: the module's own output that the next slot of a chain reads.
  std::unique_ptr<DeviceMemory> chain_hidden_;

  // Scratch.
  DraftBatch batch_;
  std::vector<const DraftRequest*> rows_;    // of the batch, in row order
  std::vector<const DraftRequest*> active_;  // want another token
  std::vector<int> unfinished_;
  std::vector<int> all_chains_;  // 0, 1, ...
};

}  // namespace reprise
