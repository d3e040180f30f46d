#include "engine/decoding/distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/noise.h"
#include "engine/vector_math.h"

namespace reprise {
namespace {

// Gumbel-max over weights: argmax of log(weight) + noise.
class WeightedDraw {
 public:
  explicit WeightedDraw(std::uint64_t stream) : stream_(stream) {}

  void Offer(TokenId token, double weight) {
    if (!(weight > 0)) return;
    const double value = std::log(weight) + static_cast<double>(GumbelNoise(stream_, token));
    if (token_ >= 0 && value <= best_) return;  // among equals the lowest id
    best_ = value;
    token_ = token;
  }
  TokenId token() const { return token_; }

 private:
  std::uint64_t stream_;
  double best_ = 0;
  TokenId token_ = -1;
};

}  // namespace

TokenDistribution TokenDistribution::Point(TokenId token) {
  TokenDistribution point;
  point.entries_.push_back({token, 1.0});
  return point;
}

bool TokenDistribution::Assign(const SamplingParams& params, std::span<const float> logits) {
  entries_.clear();
  probabilities_.clear();
  FilterLogits(params, logits, &filtered_);
  dense_ = !filtered_.filtered;
  if (!dense_) {
    if (filtered_.candidates.empty()) return false;
    const double max = filtered_.candidates.front().value;
    double total = 0;
    for (const Candidate& c : filtered_.candidates) total += std::exp(c.value - max);
    for (const Candidate& c : filtered_.candidates) entries_.push_back({c.token, std::exp(c.value - max) / total});
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.token < b.token; });
    return true;
  }
  const TokenId best = ArgMax(logits);
  if (best < 0) return false;
  const float inverse_temperature = 1.0f / params.temperature;
  const float max = logits[static_cast<std::size_t>(best)] * inverse_temperature;
  probabilities_.resize(logits.size());
  Softmax(logits, inverse_temperature, max, probabilities_);
  return true;
}

double TokenDistribution::Probability(TokenId token) const {
  if (dense_) {
    const auto index = static_cast<std::size_t>(token);
    return index < probabilities_.size() ? static_cast<double>(probabilities_[index]) : 0.0;
  }
  const auto it = std::lower_bound(entries_.begin(), entries_.end(), token,
                                   [](const Entry& entry, TokenId id) { return entry.token < id; });
  return it != entries_.end() && it->token == token ? it->probability : 0.0;
}

template <typename Visit>
void TokenDistribution::ForEach(Visit visit) const {
  if (dense_) {
    for (std::size_t i = 0; i < probabilities_.size(); ++i) {
      visit(static_cast<TokenId>(i), static_cast<double>(probabilities_[i]));
    }
  } else {
    for (const Entry& entry : entries_) visit(entry.token, entry.probability);
  }
}

TokenId TokenDistribution::Sample(std::uint64_t stream) const {
  WeightedDraw draw(stream);
  ForEach([&](TokenId token, double p) { draw.Offer(token, p); });
  return draw.token();
}

TokenId TokenDistribution::SampleResidual(const TokenDistribution& draft, std::uint64_t stream) const {
  WeightedDraw draw(stream);
  ForEach([&](TokenId token, double p) { draw.Offer(token, p - draft.Probability(token)); });
  return draw.token() >= 0 ? draw.token() : Sample(stream);
}

}  // namespace reprise
