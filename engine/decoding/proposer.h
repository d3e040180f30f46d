// Where decoding methods plug in. A proposer guesses tokens that may follow; the verifier decides which of
// them stand. Plain decoding is the proposer whose drafts are empty, so the step loop has no special case for
// it.
#pragma once

#include <span>
#include <vector>

#include "models/decoder.h"
#include "scheduler/scheduler.h"

namespace reprise {

// Drafted tokens of one scheduled sequence, in order; empty for plain decoding.
struct Draft {
  std::vector<TokenId> tokens;
};

// Engine thread only.
class Proposer {
 public:
  virtual ~Proposer() = default;

  virtual DecodingMethod method() const = 0;
  // Longest draft it can make; slots for that many are asked of the scheduler.
  virtual int max_tokens() const = 0;
  // Fills drafts[i], at most plan.items[i].num_draft_tokens tokens. `drafts` has one cleared entry per item.
  virtual void Propose(const BatchPlan& plan, std::span<Draft> drafts) = 0;
  // After verification, before the scheduler commits: what stands, and the step's hidden states.
  virtual void Observe(const BatchPlan& plan, std::span<const AcceptedTokens> accepted,
                       const Decoder::Output& output) = 0;
  // The request has ended.
  virtual void Forget(RequestId id) = 0;
};

}  // namespace reprise
