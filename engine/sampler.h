// Draws tokens. Greedy, or Gumbel-max with counter-based noise: argmax over the filtered tokens of logit / T
// + gumbel(key, token), which follows softmax(logit / T) and depends on nothing but the request's seed,
// choice and position.
#pragma once

#include <span>
#include <vector>

#include "base/noise.h"
#include "engine/logits_processor.h"
#include "engine/token_stream.h"
#include "scheduler/request.h"

namespace reprise {

// Scratch rows of one thread.
class Sampler {
 public:
  // The token that follows, at absolute position `position`, after `num_generated` tokens; -1 when the model
  // gave no finite logit. `logits` [V] is not changed.
  TokenId Sample(const Request& request, const PenaltyState& penalties, std::span<const float> logits,
                 int num_generated, int position);

 private:
  std::vector<float> adjusted_;
  FilteredDistribution distribution_;
};

// INTERNAL: a row of logits from which no token can be drawn. `position` is that of the token it is for.
Status NoFiniteLogit(int position);

// Log-probabilities of the model's own distribution (before bias, penalties, temperature and filters): of
// `token`, and of the `num_top` most likely ones. NaN when no logit is finite.
GeneratedToken MakeLogprobs(std::span<const float> logits, TokenId token, int num_top);

}  // namespace reprise
