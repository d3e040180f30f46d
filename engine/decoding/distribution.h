// The distribution a request draws its next token from, after the whole pipeline of logits_processor.h: what
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
  void AssignPoint(TokenId token);

  // softmax(logits / T) over what the filters leave. Requires temperature > 0. `logits` are adjusted ones
  // (AdjustLogits). Entry i belongs to token ids[i]; `ids` ascends and outlives this distribution; empty: to
  // token i. False when no logit is finite; the distribution is then empty. Reuses memory. Unfiltered logits
  // are looked at again by Probability, until Materialize.
  bool Assign(const SamplingParams& params, std::span<const float> logits, std::span<const TokenId> ids = {});

  // Makes this independent of the logits it was assigned from.
  void Materialize();

  // 0 for a token that the filters exclude or that is not among the ids.
  double Probability(TokenId token) const;

  // A draw, by one uniform number of `stream` (base/noise.h).
  TokenId Sample(std::uint64_t stream);

  // A draw from norm(max(0, this - draft)) (Leviathan et al. 2211.17192, algorithm 1); from this distribution
  // itself when that is zero everywhere, which rounding alone can cause. `draft` has been materialised.
  TokenId SampleResidual(const TokenDistribution& draft, std::uint64_t stream);

 private:
  TokenId IdOf(std::size_t i) const { return ids_.empty() ? static_cast<TokenId>(i) : ids_[i]; }

  // Before Materialize: softmax(logits_ * inverse_temperature_), whose terms exp(... - max_) sum up to
  // total_.
  std::span<const float> logits_;
  float inverse_temperature_ = 1.0f;
  float max_ = 0.0f;
  double total_ = 0;

  std::vector<float> probabilities_;
  std::span<const TokenId> ids_;   // of the probabilities, ascending; empty: probability i is of token i
  std::vector<TokenId> own_ids_;   // behind ids_ when the filters left a few
  FilteredDistribution filtered_;  // scratch
  std::vector<float> residual_;    // scratch
};

}  // namespace reprise
