// Drafts without weights: what followed the last occurrence of the latest few tokens, in the prompt or in
// what has been generated (prompt lookup decoding, Saxena 2023).
#pragma once

#include <cstdint>
#include <unordered_map>

#include "engine/decoding/proposer.h"

namespace reprise {

class PromptLookupProposer final : public Proposer {
 public:
  ProposerKind kind() const override { return ProposerKind::kPromptLookup; }
  // The longer the run that recurs, the surer.
  std::optional<DraftOffer> Offer(const Sequence& sequence) override;
  void Propose(std::span<const DraftRequest> requests) override;
  void Forget(RequestId id) override { indexes_.erase(id); }

 private:
  static constexpr int kLongest = 4;   // tokens that must recur, tried first
  static constexpr int kShortest = 2;  // and last
  static_assert(kLongest - kShortest + 1 == kNumConfidences);

  // Where each run of tokens was last continued. Grows with its sequence.
  struct Index {
    int num_indexed = 0;  // runs ending before this position are in
    // Hash of a run -> the position of the token that followed it.
    std::unordered_map<std::uint64_t, int> continuation;
  };

  struct Match {
    int next = 0;    // position of the token that followed
    int length = 0;  // of the run that recurs
  };

  // Where the latest tokens occurred before.
  std::optional<Match> FindMatch(const Sequence& sequence);

  std::unordered_map<RequestId, Index> indexes_;
};

}  // namespace reprise
