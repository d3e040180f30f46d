// Drafts with a small language model of the same vocabulary (speculative decoding, Leviathan et al.
// 2211.17192), whose keys and values lie behind the target's block tables.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/decoding/block_notes.h"
#include "engine/decoding/draft_batch.h"
#include "engine/decoding/draft_draws.h"
#include "engine/decoding/proposer.h"

namespace reprise {

class DraftModelProposer final : public Proposer {
 public:
  // RESOURCE_EXHAUSTED with the size.
  static Result<DraftDraws> AllocateDraws(Backend& backend, const Decoder& decoder,
                                          const DraftLimits& limits);
  // `decoder` has been reserved for the limits' tokens and a row for every sequence. `kv` has one entry per
  // layer of it. All outlive the proposer. `draws` were allocated for the same decoder and limits.
  DraftModelProposer(Decoder& decoder, std::span<const KvLayer> kv, const BlockPool& pool,
                     const DraftLimits& limits, DraftDraws draws);

  ProposerKind kind() const override { return ProposerKind::kDraftModel; }
  std::optional<DraftOffer> Offer(const Sequence& sequence) override {
    return DraftOffer{static_cast<int>(sequence.tokens.size()) - StateOf(sequence).num_computed};
  }
  // What the draft model has not seen yet it reads first, at most max_batch_tokens in a step; a sequence that
  // does not fit gets its drafts in a later step.
  void Propose(std::span<const DraftRequest> requests) override;
  Readback* end_of_drafts() override { return draws_.end(); }
  void Observe(const StepOutcome& outcome) override;
  void Forget(RequestId id) override { states_.erase(id); }

 private:
  struct State {
    int num_computed = 0;  // leading positions whose keys and values the draft model has written
    int num_noted = 0;     // of those, in blocks that have been noted as ready
    int num_preemptions = 0;
  };

  State& StateOf(const Sequence& sequence);
  // Brings every sequence up to its last token. Those that get there, with logits for their first draft.
  void CatchUp(std::span<const DraftRequest> requests);
  // Runs the batch, draws a token for each of `rows_`, and leaves there those that want another.
  void RunBatch();
  void NoteBlocks(const Sequence& sequence, State& state);

  Decoder& decoder_;
  std::span<const KvLayer> kv_;
  BlockNotes ready_;
  int block_size_;
  int max_batch_tokens_;
  std::unordered_map<RequestId, State> states_;
  DraftDraws draws_;

  // Scratch.
  DraftBatch batch_;
  std::vector<const DraftRequest*> rows_;  // in the order of the batch's rows of logits
  std::vector<int> unfinished_;
};

}  // namespace reprise
