#include "engine/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "engine/vector_math.h"

namespace reprise {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// An upper bound of GumbelNoise that costs no logarithm: -log u >= 1 - u, so g <= -log(1 - u), and -log2(1 -
// u) is at most minus the exponent of 1 - u. The margin covers rounding of the noise itself.
inline float GumbelBound(float u) {
  const float rest = 1.0f - u;
  const int exponent = static_cast<int>(std::bit_cast<std::uint32_t>(rest) >> 23) - 127;
  return static_cast<float>(-exponent) * 0.6931472f + 1e-4f;
}

// Largest noise there is: u = 1 - 2^-24.
constexpr float kMaxGumbel = 16.7f;

}  // namespace

TokenId SampleGumbel(std::span<const float> logits, float inverse_temperature, std::uint64_t stream,
                     std::span<const TokenId> ids) {
  const TokenId likeliest = ArgMax(logits);
  if (likeliest < 0) return -1;
  const auto id = [ids](std::size_t i) { return ids.empty() ? static_cast<TokenId>(i) : ids[i]; };
  auto best = static_cast<std::size_t>(likeliest);
  float best_value = logits[best] * inverse_temperature + GumbelNoise(stream, id(best));
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float value = logits[i] * inverse_temperature;
    if (!(value + kMaxGumbel >= best_value)) continue;  // also NaN
    const TokenId token = id(i);
    if (value + GumbelBound(UniformNoise(stream, token)) < best_value) continue;
    const float noisy = value + GumbelNoise(stream, token);
    if (noisy > best_value || (noisy == best_value && i < best)) {
      best_value = noisy;
      best = i;
    }
  }
  return id(best);
}

TokenId SampleGumbel(std::span<const Candidate> candidates, std::uint64_t stream) {
  TokenId best = -1;
  float best_value = kMinusInfinity;
  for (const Candidate& candidate : candidates) {
    const float noisy = candidate.value + GumbelNoise(stream, candidate.token);
    if (best < 0 || noisy > best_value || (noisy == best_value && candidate.token < best)) {
      best_value = noisy;
      best = candidate.token;
    }
  }
  return best;
}

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

GeneratedToken MakeLogprobs(std::span<const float> logits, TokenId token, int num_top) {
  GeneratedToken result;
  result.token = token;
  const TokenId best = ArgMax(logits);
  if (best < 0) return result;
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
