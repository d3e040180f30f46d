// The distribution a request draws its next token from, after the whole pipeline of logits_processor.h, as probabilities: what
// the rejection rule compares target and draft by.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/types.h"
#include "engine/logits_processor.h"
#include "scheduler/request.h"

namespace reprise {

class TokenDistribution {
 public:
  // All mass on one token: a draft that was not drawn, such as a prompt look-up.
  static TokenDistribution Point(TokenId token);

  // softmax(logits / T) over what the filters leave. Requires temperature > 0. `logits` are adjusted ones (AdjustLogits).
  // False when no logit is finite; the distribution is then empty. Reuses memory.
  bool Assign(const SamplingParams& params, std::span<const float> logits);

  // 0 for a token that the filters exclude or that is outside the vocabulary.
  double Probability(TokenId token) const;

  // A draw, by Gumbel-max with the noise of `stream` (base/noise.h).
  TokenId Sample(std::uint64_t stream) const;

  // A draw from norm(max(0, this - draft)) (Leviathan et al. 2211.17192, algorithm 1); from this distribution itself when
  // that is zero everywhere, which rounding alone can cause.
  TokenId SampleResidual(const TokenDistribution& draft, std::uint64_t stream) const;

 private:
  struct Entry {
    TokenId token;
    double probability;
  };

  // Calls visit(token, probability) for every token of the support, by ascending id.
  template <typename Visit>
  void ForEach(Visit visit) const;

  bool dense_ = false;
  std::vector<float> probabilities_;  // [V] when dense
  std::vector<Entry> entries_;        // otherwise, by ascending token
  FilteredDistribution filtered_;     // scratch
};

}  // namespace reprise
