// Drafts with a recycle module (RecycleGPT, 2308.03421): re-uses the hidden states of the target's last pass.
#pragma once

#include <unordered_map>
#include <vector>

#include "engine/decoding/block_notes.h"
#include "engine/decoding/draft_batch.h"
#include "engine/decoding/draft_sampler.h"
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
  // `module` has been reserved for `max_batch_tokens` tokens and a row for every sequence. `kv` has one entry
  // per layer of it. All outlive the proposer. Of what the module has not read the latest `num_kept` states
  // (and at least two blocks' worth) are kept, at most twice as many. The default is small, since reading
  // costs a pass over what is read and hardly improves drafts: SmolLM2's module gives 1.350 tokens a pass
  // with all of the prompt, and 1.347 with the last 16 tokens of it.
  RecycleProposer(Backend& backend, RecycleModule& module, std::span<const KvLayer> kv, const BlockPool& pool,
                  int vocab_size, int block_size, int max_batch_tokens, int num_kept = 32);

  ProposerKind kind() const override { return ProposerKind::kRecycle; }
  std::optional<DraftOffer> Offer(const Sequence& sequence) override;
  void Propose(std::span<const DraftRequest> requests) override;
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
  // A sequence that is being drafted for.
  struct Active {
    const DraftRequest* request = nullptr;
    std::vector<float> hidden;  // [D], the module's own output that the next slot of the chain reads
  };

  State& StateOf(const Sequence& sequence);
  void BeginAtBlock(const Sequence& sequence, State* state);
  int NumHidden(const State& state) const { return static_cast<int>(state.hidden.size()) / width_; }
  void KeepHidden(const StepOutcome& outcome, std::size_t item, ConstMatrixView hidden);
  // The first slot that can be ingested; moves the window when states before it are gone.
  int FirstSlot(State* state) const;
  // Adds the slots that the module has not read to batches, running full ones; the last slot wants logits.
  // Forgets the states used.
  void Ingest(const DraftRequest& request);
  void AddSlots(const Sequence& sequence, int first_position, std::span<const TokenId> tokens,
                const float* hidden, int first_block, const DraftRequest* request);
  void RunBatch();

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
  DraftSamplers samplers_;

  // Scratch.
  DraftBatch batch_;
  std::vector<const DraftRequest*> rows_;  // of the batch, in row order
  std::vector<Active> active_;             // want another token
  std::vector<int> unfinished_;
};

}  // namespace reprise
