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
  logits_ = {};
  probabilities_.assign(1, 1.0f);
}

bool TokenDistribution::Assign(const SamplingParams& params, std::span<const float> logits,
                               std::span<const TokenId> ids) {
  probabilities_.clear();
  ids_ = ids;
  const TokenId best = ArgMax(logits);
  if (best < 0) return false;
  inverse_temperature_ = 1.0f / params.temperature;
  max_ = logits[static_cast<std::size_t>(best)] * inverse_temperature_;
  FilterLogits(params, logits, &filtered_);
  if (!filtered_.filtered) {
    logits_ = logits;
    total_ = SumExp(logits, inverse_temperature_, max_);
    return true;
  }
  logits_ = {};
  auto& candidates = filtered_.candidates;
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.token < b.token; });
  own_ids_.clear();
  double total = 0;
  for (const Candidate& c : candidates) {
    own_ids_.push_back(ids.empty() ? c.token : ids[static_cast<std::size_t>(c.token)]);
    probabilities_.push_back(std::exp(c.value - max_));
    total += static_cast<double>(probabilities_.back());
  }
  ids_ = own_ids_;
  for (float& p : probabilities_) p *= static_cast<float>(1.0 / total);
  return true;
}

void TokenDistribution::Materialize() {
  if (logits_.empty()) return;
  probabilities_.resize(logits_.size());
  ExpWeights(logits_, inverse_temperature_, max_, probabilities_);
  const auto scale = static_cast<float>(1.0 / total_);
  for (float& p : probabilities_) p *= scale;
  logits_ = {};
}

double TokenDistribution::Probability(TokenId token) const {
  auto index = static_cast<std::size_t>(token);
  if (!ids_.empty()) {
    const auto it = std::lower_bound(ids_.begin(), ids_.end(), token);
    if (it == ids_.end() || *it != token) return 0.0;
    index = static_cast<std::size_t>(it - ids_.begin());
  }
  if (!logits_.empty()) {
    if (index >= logits_.size()) return 0.0;
    return std::exp(static_cast<double>(logits_[index] * inverse_temperature_ - max_)) / total_;
  }
  return index < probabilities_.size() ? static_cast<double>(probabilities_[index]) : 0.0;
}

TokenId TokenDistribution::Sample(std::uint64_t stream) {
  Materialize();
  double total = 0;
  for (const float p : probabilities_) total += static_cast<double>(p);
  return IdOf(DrawIndex(probabilities_, total, UniformNoise(stream)));
}

TokenId TokenDistribution::SampleResidual(const TokenDistribution& draft, std::uint64_t stream) {
  Materialize();
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
