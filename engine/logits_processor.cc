#include "engine/logits_processor.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "engine/vector_math.h"

namespace reprise {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

bool Better(const Candidate& a, const Candidate& b) {
  return a.value > b.value || (a.value == b.value && a.token < b.token);
}

// All tokens with value >= threshold, unsorted.
void CollectAbove(std::span<const float> logits, float inverse_temperature, float threshold,
                  std::vector<Candidate>* out) {
  out->clear();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float value = logits[i] * inverse_temperature;
    if (value >= threshold) out->push_back({value, static_cast<TokenId>(i)});  // false for NaN
  }
}

// The k best tokens above `threshold`, in one pass with a heap of k.
void CollectTopK(std::span<const float> logits, float inverse_temperature, float threshold, std::size_t k,
                 std::vector<Candidate>* out) {
  out->clear();
  const auto worst_first = [](const Candidate& a, const Candidate& b) { return Better(a, b); };
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const Candidate candidate{logits[i] * inverse_temperature, static_cast<TokenId>(i)};
    if (!(candidate.value >= threshold) || candidate.value == kMinusInfinity) continue;
    if (out->size() < k) {
      out->push_back(candidate);
      std::push_heap(out->begin(), out->end(), worst_first);
    } else if (Better(candidate, out->front())) {
      std::pop_heap(out->begin(), out->end(), worst_first);
      out->back() = candidate;
      std::push_heap(out->begin(), out->end(), worst_first);
    }
  }
  std::sort(out->begin(), out->end(), Better);
}

// Length of the shortest prefix of the sorted candidates whose probabilities reach `top_p` of `total`; 0 when
// all of them together do not.
std::size_t NucleusSize(std::span<const Candidate> candidates, float max, double total, float top_p) {
  double sum = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    sum += std::exp(static_cast<double>(candidates[i].value - max));
    if (sum >= top_p * total) return i + 1;
  }
  return 0;
}

// Top-p over the whole vocabulary without sorting it: the nucleus is almost always within a few nats of the
// maximum, so candidates are collected down to a threshold that is lowered until they suffice.
void CollectNucleus(std::span<const float> logits, float inverse_temperature, float max, float threshold,
                    float top_p, std::vector<Candidate>* out) {
  const bool everything = threshold == kMinusInfinity;
  double total = 0;
  if (everything) {
    total = SumExp(logits, inverse_temperature, max);
  } else {
    CollectAbove(logits, inverse_temperature, threshold, out);
    for (const Candidate& c : *out) total += std::exp(static_cast<double>(c.value - max));
  }
  for (float depth = 4.0f;; depth *= 2) {
    const bool last = max - depth <= threshold || depth > 1e30f;
    CollectAbove(logits, inverse_temperature,
                 last ? std::max(threshold, -std::numeric_limits<float>::max()) : max - depth, out);
    std::sort(out->begin(), out->end(), Better);
    const std::size_t size = NucleusSize(*out, max, total, top_p);
    if (size > 0) out->resize(size);
    if (size > 0 || last) return;
  }
}

}  // namespace

PenaltyState::PenaltyState(const Request& request) {
  const SamplingParams& p = request.sampling;
  const bool repetition = p.repetition_penalty != 1.0f;
  active_ = repetition || p.presence_penalty != 0.0f || p.frequency_penalty != 0.0f;
  if (repetition) prompt_.insert(request.prompt.begin(), request.prompt.end());
}

void PenaltyState::Append(TokenId token) {
  if (active_) ++generated_[token];
}

void PenaltyState::Remove(TokenId token) {
  if (!active_) return;
  const auto it = generated_.find(token);
  if (it != generated_.end() && --it->second == 0) generated_.erase(it);
}

bool NeedsAdjustment(const Request& request, int num_generated) {
  const SamplingParams& p = request.sampling;
  return !p.logit_bias.empty() || p.repetition_penalty != 1.0f || p.presence_penalty != 0.0f ||
         p.frequency_penalty != 0.0f ||
         (num_generated < request.min_tokens && !request.stop_token_ids.empty());
}

void CollectAdjustments(const Request& request, const PenaltyState& penalties, int num_generated,
                        int vocab_size, std::vector<LogitAdjustment>* out) {
  const SamplingParams& params = request.sampling;
  std::map<TokenId, float> biases;
  for (const auto& [token, bias] : params.logit_bias) biases[token] += bias;
  if (num_generated < request.min_tokens) {
    for (TokenId token : request.stop_token_ids) {
      if (token < vocab_size) biases[token] = kMinusInfinity;
    }
  }
  penalties.ForEach([&](TokenId token, int count) {
    LogitAdjustment adjustment{token, 0.0f, count};
    if (const auto bias = biases.find(token); bias != biases.end()) {
      adjustment.bias = bias->second;
      biases.erase(bias);
    }
    out->push_back(adjustment);
  });
  for (const auto& [token, bias] : biases) out->push_back({token, bias, LogitAdjustment::kUnseen});
}

void AdjustLogits(const Request& request, const PenaltyState& penalties, int num_generated,
                  std::span<float> logits) {
  const SamplingParams& params = request.sampling;
  std::vector<LogitAdjustment> adjustments;
  CollectAdjustments(request, penalties, num_generated, static_cast<int>(logits.size()), &adjustments);
  for (const LogitAdjustment& by : adjustments) {
    float& logit = logits[static_cast<std::size_t>(by.token)];
    logit += by.bias;
    const float repetition = by.count >= 0 ? params.repetition_penalty : 1.0f;
    if (repetition != 1.0f) logit = logit > 0 ? logit / repetition : logit * repetition;
    if (by.count > 0)
      logit -= params.frequency_penalty * static_cast<float>(by.count) + params.presence_penalty;
  }
}

TokenId ArgMax(std::span<const float> values) {
  const std::size_t best = IndexOfMax(values);
  return best < values.size() && values[best] > kMinusInfinity ? static_cast<TokenId>(best) : -1;
}

void FilterLogits(const SamplingParams& params, std::span<const float> logits, FilteredDistribution* out) {
  const bool top_k = params.top_k > 0 && params.top_k < static_cast<int>(logits.size());
  out->filtered = top_k || params.top_p < 1.0f || params.min_p > 0.0f;
  out->candidates.clear();
  if (!out->filtered) return;
  const TokenId best = ArgMax(logits);
  if (best < 0) return;
  const float inverse_temperature = 1.0f / params.temperature;
  const float max = logits[static_cast<std::size_t>(best)] * inverse_temperature;
  const float threshold = params.min_p > 0.0f ? max + std::log(params.min_p) : kMinusInfinity;
  if (top_k) {
    CollectTopK(logits, inverse_temperature, threshold, static_cast<std::size_t>(params.top_k),
                &out->candidates);
    if (params.top_p < 1.0f) {
      double total = 0;
      for (const Candidate& c : out->candidates) total += std::exp(static_cast<double>(c.value - max));
      out->candidates.resize(
          std::max<std::size_t>(1, NucleusSize(out->candidates, max, total, params.top_p)));
    }
  } else if (params.top_p < 1.0f) {
    CollectNucleus(logits, inverse_temperature, max, threshold, params.top_p, &out->candidates);
  } else {
    CollectAbove(logits, inverse_temperature, threshold, &out->candidates);
    std::sort(out->candidates.begin(), out->candidates.end(), Better);
  }
}

}  // namespace reprise
