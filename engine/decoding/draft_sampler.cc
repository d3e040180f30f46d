#include "engine/decoding/draft_sampler.h"

#include <limits>

#include "base/noise.h"
#include "engine/decoding/rule.h"
#include "engine/gumbel_max.h"

namespace reprise {

bool DraftSampler::Draw(const DraftRequest& wish, std::span<const float> logits) {
  const Request& request = *wish.sequence->request;
  const SamplingParams& params = request.sampling;
  Draft& draft = *wish.draft;
  const auto drafted = static_cast<int>(draft.tokens.size());
  const int num_generated = wish.sequence->num_generated() + drafted;
  const auto position = static_cast<std::uint32_t>(wish.sequence->tokens.size()) + draft.tokens.size();
  std::span<const TokenId> ids = head_tokens_;
  if (NeedsAdjustment(request, num_generated)) {
    // Adjustments address tokens by their id in the target's vocabulary.
    if (ids.empty()) {
      row_.assign(logits.begin(), logits.end());
    } else {
      row_.assign(static_cast<std::size_t>(vocab_size_), -std::numeric_limits<float>::infinity());
      for (std::size_t i = 0; i < ids.size(); ++i) row_[static_cast<std::size_t>(ids[i])] = logits[i];
      ids = {};
    }
    AdjustLogits(request, *wish.penalties, num_generated, row_);
    logits = row_;
  }
  const auto stream = [&](NoiseKind kind) {
    return NoiseStream({params.seed, request.choice, static_cast<std::uint32_t>(position), kind});
  };
  TokenId token = -1;
  if (params.temperature <= 0.0f) {
    token = ArgMax(logits);
    if (token >= 0 && !ids.empty()) token = ids[static_cast<std::size_t>(token)];
  } else if (RuleFor(request) == VerificationRule::kRejection) {
    TokenDistribution& distribution = draft.DistributionOfNext();
    if (distribution.Assign(params, logits, ids)) token = distribution.Sample(stream(NoiseKind::kDraft));
  } else {
    FilterLogits(params, logits, &filtered_);
    if (filtered_.filtered) {
      for (Candidate& c : filtered_.candidates) {
        if (!ids.empty()) c.token = ids[static_cast<std::size_t>(c.token)];
      }
      token = SampleGumbel(filtered_.candidates, stream(NoiseKind::kSample));
    } else {
      token = SampleGumbel(logits, 1.0f / params.temperature, stream(NoiseKind::kSample), ids);
    }
  }
  if (token < 0) return false;
  draft.tokens.push_back(token);
  return true;
}

}  // namespace reprise
