#include "engine/decoding/distribution.h"

#include <algorithm>
#include <cmath>

#include "base/noise.h"
#include "engine/vector_math.h"

namespace reprise {
namespace {

// Weights are summed by blocks of so many; only in the block that a draw falls into, one by one.
constexpr std::size_t kDrawBlock = 256;

// Index drawn from non-negative weights of the given positive total: the first whose cumulative sum passes
// u * total, or one with weight in the last block if rounding keeps the sum below.
std::size_t DrawIndex(std::span<const float> weights, double total, double u) {
  double left = u * total;
  std::span<const float> block;
  for (std::size_t begin = 0; begin < weights.size(); begin += kDrawBlock) {
    const auto next = weights.subspan(begin, std::min(kDrawBlock, weights.size() - begin));
    const double sum = Sum(next);
    if (sum <= 0) continue;
    block = next;
    if (sum > left) break;
    left -= sum;
  }
  std::size_t drawn = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    if (block[i] <= 0) continue;
    drawn = i;
    left -= static_cast<double>(block[i]);
    if (left < 0) break;
  }
  return static_cast<std::size_t>(block.data() - weights.data()) + drawn;
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
  return IdOf(DrawIndex(probabilities_, Sum(probabilities_), UniformNoise(stream)));
}

TokenId TokenDistribution::SampleResidual(const TokenDistribution& draft, std::uint64_t stream) {
  Materialize();
  residual_ = probabilities_;
  if (ids_.empty()) {
    for (std::size_t i = 0; i < draft.probabilities_.size(); ++i) {
      const auto token = static_cast<std::size_t>(draft.IdOf(i));
      if (token < residual_.size()) residual_[token] -= draft.probabilities_[i];
    }
  } else {
    for (std::size_t i = 0; i < residual_.size(); ++i) {
      residual_[i] -= static_cast<float>(draft.Probability(ids_[i]));
    }
  }
  for (float& weight : residual_) weight = std::max(weight, 0.0f);
  const double total = Sum(residual_);
  if (!(total > 0)) return Sample(stream);
  return IdOf(DrawIndex(residual_, total, UniformNoise(stream)));
}

}  // namespace reprise
