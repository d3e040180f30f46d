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

// Device memory that a recycle module's proposer takes for itself.
struct RecycleScratch {
  DraftDraws draws;
  // [max_sequences, D]: the module's own output that the next slot of a chain reads.
  std::unique_ptr<DeviceMemory> chain_hidden;

  // RESOURCE_EXHAUSTED with the size.
  static Result<RecycleScratch> Allocate(Backend& backend, const RecycleModule& module,
                                         const DraftLimits& limits);
};

// The module's slot j needs the target's hidden state at j - 1, which exists only in the step that computes
// it. So every step leaves its states in the cache, a row a slot (KvCache::hidden_states), and they are
// shared, freed and overwritten as keys and values are. Of a long prompt or pause, or a prefix that it never
// saw, the module reads only the end: the sequence's window moves forward, and the module attends from a
// later block on. That changes what is drafted, never what is emitted.
class RecycleProposer final : public Proposer {
 public:
  // What it works on; all outlive it.
  struct Memory {
    std::span<const KvLayer> kv;  // one entry per layer of the module
    MatrixView hidden_states;     // as KvCache's
    const BlockPool& pool;
  };

  // `module` has been reserved for the limits' tokens and a row for every sequence. If it has twice
  // `num_read` tokens to read (which is at least two blocks' worth) it begins with the last `num_read`. The
  // default is small, since reading costs a pass over what is read and hardly improves drafts: SmolLM2's
  // module gives 1.350 tokens a pass with all of the prompt, and 1.347 with the last 16 tokens of it.
  // `own` was allocated for the same module and limits.
  RecycleProposer(Backend& backend, RecycleModule& module, const Memory& memory, const DraftLimits& limits,
                  RecycleScratch own, int num_read = 32);

  ProposerKind kind() const override { return ProposerKind::kRecycle; }
  std::optional<DraftOffer> Offer(const Sequence& sequence) override;
  void Propose(std::span<const DraftRequest> requests) override;
  Readback* end_of_drafts() override { return draws_.end(); }
  void AfterPass(const BatchView& batch, const Decoder::Output& output) override;
  void Forget(RequestId id) override { states_.erase(id); }

 private:
  struct State {
    int num_preemptions = 0;
    int first_block = 0;  // where the module's attention begins
    int next_slot = 0;    // slots [first_block * block_size, next_slot) are in the module's cache
  };

  // Up to date with the blocks that others have filled; moves the window where too much is left to read.
  State& StateOf(const Sequence& sequence);
  bool IsReady(const Sequence& sequence, int block) const;
  void SkipReadyBlocks(const Sequence& sequence, State* state) const;
  // Row of hidden_states_ that slot `slot` of the module reads.
  int HiddenRow(const Sequence& sequence, int slot) const;
  // Adds the slots that the module has not read to batches, running full ones; the last slot wants logits.
  void Ingest(const DraftRequest& request);
  // Runs what Ingest has added, if anything.
  void RunIngested();
  // Runs the next slot of each chain in `active_`.
  void ExtendChains();
  // Runs the batch, and draws a token for each row; chains that go on are in `active_` then, in the order of
  // their states in chain_hidden_.
  void RunBatch();
  // The first `n` of chain_hidden_.
  MatrixView ChainHidden(int n) const {
    return {static_cast<float*>(chain_hidden_->data()), n, width_, width_};
  }

  Backend& backend_;
  RecycleModule& module_;
  std::span<const KvLayer> kv_;
  MatrixView hidden_states_;
  int width_;
  int block_size_;
  int max_batch_tokens_;
  int num_read_;
  BlockNotes ready_;  // blocks whose slots are in the module's cache
  std::unordered_map<RequestId, State> states_;
  DraftDraws draws_;
  std::unique_ptr<DeviceMemory> chain_hidden_;  // as RecycleScratch's

  // Scratch.
  DraftBatch batch_;
  std::vector<int> hidden_rows_;             // that the batch's slots read, while Ingest fills it
  std::vector<const DraftRequest*> rows_;    // of the batch, in row order
  std::vector<const DraftRequest*> active_;  // want another token
  std::vector<int> unfinished_;
  std::vector<int> all_chains_;  // 0, 1, ...
};

}  // namespace reprise
