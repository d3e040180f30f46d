// Where decoding methods plug in. A proposer guesses tokens that may follow; the verifier decides which of
// them stand. Plain decoding is a sequence that nobody drafts for, so the step loop has no special case for
// it.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "engine/decoding/distribution.h"
#include "engine/decoding/offer.h"
#include "engine/logits_processor.h"
#include "kernels/batch_view.h"
#include "models/decoder.h"
#include "scheduler/scheduler.h"

namespace reprise {

// Drafted tokens of one scheduled sequence, in order; empty for plain decoding.
struct Draft {
  // Where the backend draws tokens, some may be below zero until the step has ended: stand-ins for ids that
  // only the device knows (BatchView::drawn). A draft that could not go on has tokens -1 from there on then.
  std::vector<TokenId> tokens;
  // Under VerificationRule::kRejection: what each token was drawn from. May be longer than `tokens`: entries
  // are reused.
  std::vector<TokenDistribution> distributions;
  // The same where the backend draws tokens: rows of logits, as adjusted, on the device. They stay until the
  // proposer's next Propose.
  struct KeptLogits {
    std::vector<const float*> rows;  // one a token, [columns] each; none for tokens that were not drawn
    const TokenId* ids = nullptr;    // as DrawArgs::ids
    int columns = 0;
  };
  KeptLogits kept;
  ProposerKind proposer = ProposerKind::kRecycle;
  int confidence = 0;       // of the offer
  bool unverified = false;  // taken as they are: RecycleGPT's own alternation

  void Clear() {
    tokens.clear();
    kept.rows.clear();
    unverified = false;
  }
  TokenDistribution& DistributionOfNext() {
    if (distributions.size() <= tokens.size()) distributions.resize(tokens.size() + 1);
    return distributions[tokens.size()];
  }
};

// One sequence that a proposer is asked to draft for. The sequence has exactly one token that is not in the
// cache, and slots for `num_tokens` more behind it.
struct DraftRequest {
  const Sequence* sequence = nullptr;
  PenaltyState* penalties = nullptr;  // of the committed tokens; as before on return
  int num_tokens = 0;                 // at most that many
  Draft* draft = nullptr;             // cleared
};

// What became of a step, before the scheduler commits it. Views live during the call.
struct StepOutcome {
  const BatchPlan& plan;
  const BatchView& batch;                    // sequence i is item i
  std::span<const AcceptedTokens> accepted;  // per item
};

// Engine thread only.
class Proposer {
 public:
  virtual ~Proposer() = default;

  virtual ProposerKind kind() const = 0;
  // What it would have to say now; nullopt: nothing, such as a prompt look-up that finds no match. The last
  // token may be a stand-in, which counts as a token that says nothing.
  virtual std::optional<DraftOffer> Offer(const Sequence& sequence) = 0;
  // Fills the drafts, maybe with fewer tokens than asked for.
  virtual void Propose(std::span<const DraftRequest> requests) = 0;
  // Behind what the latest Propose has started; nullptr: that was over when it returned.
  virtual Readback* end_of_drafts() { return nullptr; }
  // The target's pass of a step has been started. Every step, in order.
  virtual void AfterPass(const BatchView&, const Decoder::Output&) {}
  // After verification; not of steps behind which the next had been started, in which nobody drafts.
  virtual void Observe(const StepOutcome&) {}
  // The request has ended.
  virtual void Forget(RequestId id) = 0;
};

}  // namespace reprise
