// Decides which drafted tokens stand, and draws the token after them (design: engine/decoding/rule.h).
//
// With an empty draft every rule draws the same token: the one plain decoding draws.
#pragma once

#include <vector>

#include "engine/decoding/proposer.h"
#include "engine/decoding/rule.h"
#include "engine/sampler.h"
#include "engine/token_stream.h"

namespace reprise {

// Scratch of one thread.
class Verifier {
 public:
  // Verifies one sequence. `logits` holds 1 + draft.tokens.size() rows: row j follows the last token and j
  // drafted ones. For an unverified draft the last row alone is enough. Appends the accepted tokens (at least
  // one) to `*accepted`, with log-probabilities when the request asks for them and their row is there.
  // INTERNAL when the model gave no finite logit. `penalties` is as before on return.
  Status Verify(const Sequence& sequence, const Draft& draft, ConstMatrixView logits, PenaltyState& penalties,
                std::vector<GeneratedToken>* accepted);

 private:
  struct Verdict {
    TokenId token = -1;   // -1: no logit is finite
    bool stands = false;  // it is the drafted one
  };
  // What follows `num_generated` tokens at `position`, given that `drafted` was guessed.
  Verdict Judge(const Request& request, const PenaltyState& penalties, std::span<const float> logits,
                int num_generated, int position, TokenId drafted, const TokenDistribution* draft);

  Sampler sampler_;
  std::vector<float> adjusted_;
  TokenDistribution target_;
};

}  // namespace reprise
