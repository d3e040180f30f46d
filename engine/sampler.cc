#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "engine/gumbel_max.h"
#include "engine/vector_math.h"

namespace reprise {

TokenId Sampler::Sample(const Request& request, const PenaltyState& penalties, std::span<const float> logits,
                        int num_generated, int position) {
  if (NeedsAdjustment(request, num_generated)) {
    adjusted_.assign(logits.begin(), logits.end());
    AdjustLogits(request, penalties, num_generated, adjusted_);
    logits = adjusted_;
  }
  const SamplingParams& params = request.sampling;
  if (params.temperature <= 0.0f) return ArgMax(logits);
  const std::uint64_t stream =
      NoiseStream({params.seed, request.choice, static_cast<std::uint32_t>(position), NoiseKind::kSample});
  FilterLogits(params, logits, &distribution_);
  if (distribution_.filtered) return SampleGumbel(distribution_.candidates, stream);
  return SampleGumbel(logits, 1.0f / params.temperature, stream);
}

Status NoFiniteLogit(int position) {
  return Internal("the model produced no finite logit at position " + std::to_string(position));
}

GeneratedToken MakeLogprobs(std::span<const float> logits, TokenId token, int num_top) {
  GeneratedToken result;
  result.token = token;
  const TokenId best = ArgMax(logits);
  if (best < 0) {
    result.logprob = std::numeric_limits<float>::quiet_NaN();
    return result;
  }
  const float max = logits[static_cast<std::size_t>(best)];
  const auto log_total = static_cast<float>(std::log(SumExp(logits, 1.0f, max)));
  const auto logprob = [&](TokenId id) { return logits[static_cast<std::size_t>(id)] - max - log_total; };
  const float own = logits[static_cast<std::size_t>(token)];
  result.logprob = logprob(token);
  result.rank =
      1 + static_cast<int>(std::count_if(logits.begin(), logits.end(), [&](float v) { return v > own; }));
  if (num_top <= 0) return result;
  SamplingParams params;
  params.top_k = std::min(num_top, static_cast<int>(logits.size()) - 1);
  FilteredDistribution top;
  FilterLogits(params, logits, &top);
  for (const Candidate& candidate : top.candidates) {
    result.top.push_back(
        {candidate.token, logprob(candidate.token), static_cast<int>(result.top.size()) + 1});
  }
  return result;
}

}  // namespace reprise
