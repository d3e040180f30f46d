// Watches what a proposer drafts inside a running engine.
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "engine/decoding/proposer.h"

namespace reprise {

// Drafted tokens, and for which position of which request the first of them is.
struct SpiedDraft {
  RequestId id;
  int position;
  std::vector<TokenId> tokens;
};

// Passes everything on to a proposer, but for some steps, and notes what is drafted.
class DraftingSpy final : public Proposer {
 public:
  explicit DraftingSpy(std::unique_ptr<Proposer> inner) : inner_(std::move(inner)) {}

  ProposerKind kind() const override { return inner_->kind(); }
  std::optional<DraftOffer> Offer(const Sequence& sequence) override {
    const int generated = sequence.num_generated();
    if (generated >= pause_begin && generated < pause_end) return std::nullopt;
    return inner_->Offer(sequence);
  }
  void Propose(std::span<const DraftRequest> requests) override {
    inner_->Propose(requests);
    for (const DraftRequest& request : requests) {
      if (request.draft->tokens.empty()) continue;
      drafts.push_back(
          {request.sequence->request->id, static_cast<int>(request.sequence->tokens.size()), {}});
      running_.push_back(request.draft);
    }
  }
  Readback* end_of_drafts() override { return inner_->end_of_drafts(); }
  void AfterPass(const BatchView& batch, const Decoder::Output& output) override {
    inner_->AfterPass(batch, output);
  }
  // Now the drafts are known on the host, wherever they were drawn.
  void Observe(const StepOutcome& outcome) override {
    for (std::size_t i = 0; i < running_.size(); ++i)
      drafts[drafts.size() - running_.size() + i].tokens = running_[i]->tokens;
    running_.clear();
    inner_->Observe(outcome);
  }
  void Forget(RequestId id) override { inner_->Forget(id); }

  // The first drafts of a request against expected[p], what should have been drafted for position p.
  void CheckDrafts(RequestId id, const std::vector<TokenId>& expected, int first_position = 0) const {
    int compared = 0;
    for (const SpiedDraft& draft : drafts) {
      if (draft.id != id || draft.position < first_position) continue;
      INFO("request " << id << ", position " << draft.position);
      CHECK(draft.tokens[0] == expected[static_cast<std::size_t>(draft.position)]);
      ++compared;
    }
    CHECK(compared > 5);
  }

  int pause_begin = 0, pause_end = 0;  // in generated tokens
  std::vector<SpiedDraft> drafts;

 private:
  std::unique_ptr<Proposer> inner_;
  std::vector<const Draft*> running_;  // of the step that runs: the last of `drafts`
};

}  // namespace reprise
