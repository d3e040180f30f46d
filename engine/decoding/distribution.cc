#include "engine/decoding/distribution.h"

#include <algorithm>
#include <cmath>

#include "base/noise.h"
#include "engine/vector_math.h"

namespace reprise {
namespace {

// Index drawn from non-negative weights of the given positive total: the first whose cumulative sum passes
// u * total.
std::size_t DrawIndex(std::span<const float> weights, double total, double u) {
  const double target = u * total;
  double sum = 0;
  std::size_t last = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    sum += static_cast<double>(weights[i]);
    last = i;
    if (sum > target) break;
  }
  return last;  // the last positive one if rounding kept the sum below
}

}  // namespace

void TokenDistribution::AssignPoint(TokenId token) {
  own_ids_.assign(1, token);
  ids_ = own_ids_;
  probabilities_.assign(1, 1.0f);
}

bool TokenDistribution::Assign(const SamplingParams& params, std::span<const float> logits,
                               std::span<const TokenId> ids) {
  probabilities_.clear();
  ids_ = ids;
  const TokenId best = ArgMax(logits);
  if (best < 0) return false;
  FilterLogits(params, logits, &filtered_);
  double total = 0;
  if (filtered_.filtered) {
    auto& candidates = filtered_.candidates;
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate& a, const Candidate& b) { return a.token < b.token; });
    const float max = logits[static_cast<std::size_t>(best)] / params.temperature;
    own_ids_.clear();
    for (const Candidate& c : candidates) {
      own_ids_.push_back(ids.empty() ? c.token : ids[static_cast<std::size_t>(c.token)]);
      probabilities_.push_back(std::exp(c.value - max));
      total += static_cast<double>(probabilities_.back());
    }
    ids_ = own_ids_;
  } else {
    const float inverse_temperature = 1.0f / params.temperature;
    probabilities_.resize(logits.size());
    total = ExpWeights(logits, inverse_temperature,
                       logits[static_cast<std::size_t>(best)] * inverse_temperature, probabilities_);
  }
  const auto scale = static_cast<float>(1.0 / total);
  for (float& p : probabilities_) p *= scale;
  return true;
}

double TokenDistribution::Probability(TokenId token) const {
  if (ids_.empty()) {
    const auto index = static_cast<std::size_t>(token);
    return index < probabilities_.size() ? static_cast<double>(probabilities_[index]) : 0.0;
  }
  const auto it = std::lower_bound(ids_.begin(), ids_.end(), token);
  if (it == ids_.end() || *it != token) return 0.0;
  return static_cast<double>(probabilities_[static_cast<std::size_t>(it - ids_.begin())]);
}

TokenId TokenDistribution::Sample(std::uint64_t stream) const {
  double total = 0;
  for (const float p : probabilities_) total += static_cast<double>(p);
  return IdOf(DrawIndex(probabilities_, total, UniformNoise(stream)));
}

TokenId TokenDistribution::SampleResidual(const TokenDistribution& draft, std::uint64_t stream) const {
  std::vector<float> residual(probabilities_);
  if (ids_.empty()) {
    for (std::size_t i = 0; i < draft.probabilities_.size(); ++i) {
      const auto token = static_cast<std::size_t>(draft.IdOf(i));
      if (token < residual.size()) residual[token] -= draft.probabilities_[i];
    }
  } else {
    for (std::size_t i = 0; i < residual.size(); ++i) {
      residual[i] -= static_cast<float>(draft.Probability(ids_[i]));
    }
  }
  double total = 0;
  for (float& weight : residual) {
    weight = std::max(weight, 0.0f);
    total += static_cast<double>(weight);
  }
  if (!(total > 0)) return Sample(stream);
  return IdOf(DrawIndex(residual, total, UniformNoise(stream)));
}

}  // namespace reprise
