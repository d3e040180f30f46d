// Draws follow softmax(logit / T) after the filters; noise depends on its key alone.
#include "engine/sampler.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

namespace reprise {
namespace {

// Chi-square statistic of counts against probabilities, cells of expectation below 5 pooled; returns it
// divided by the 99.9 % quantile (Wilson-Hilferty), so that a value above 1 rejects.
double ChiSquareRatio(const std::vector<int>& counts, const std::vector<double>& probabilities, int draws) {
  double statistic = 0, pooled_expected = 0;
  int pooled = 0, cells = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double expected = probabilities[i] * draws;
    if (expected < 5) {
      pooled_expected += expected;
      pooled += counts[i];
      continue;
    }
    statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
    ++cells;
  }
  if (pooled_expected > 0)
    statistic += (pooled - pooled_expected) * (pooled - pooled_expected) / pooled_expected, ++cells;
  const double k = std::max(1, cells - 1);
  const double quantile = k * std::pow(1 - 2 / (9 * k) + 3.09 * std::sqrt(2 / (9 * k)), 3);
  return statistic / quantile;
}

std::vector<double> Softmax(const std::vector<float>& logits, float temperature,
                            const std::vector<bool>& allowed) {
  std::vector<double> p(logits.size(), 0.0);
  double total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i)
    total += allowed[i] ? p[i] = std::exp(logits[i] / temperature) : 0.0;
  for (double& v : p) v /= total;
  return p;
}

TEST_CASE("Sampled tokens follow the distribution over seeds and over positions", "[engine]") {
  constexpr int kDraws = 200000;
  std::mt19937 random(8);
  std::normal_distribution<float> normal(0, 1.5f);
  std::vector<float> logits(24);
  for (float& v : logits) v = normal(random);
  logits[7] = -std::numeric_limits<float>::infinity();
  const bool by_position = GENERATE(false, true);
  const int filter = GENERATE(0, 1, 2);
  Request request;
  request.prompt = {0};
  request.sampling.temperature = 0.8f;
  if (filter == 1) request.sampling.top_k = 6;
  if (filter == 2) request.sampling.top_p = 0.7f;
  std::vector<bool> allowed(logits.size(), filter == 0);
  allowed[7] = false;
  if (filter != 0) {
    FilteredDistribution kept;
    FilterLogits(request.sampling, logits, &kept);
    for (const Candidate& c : kept.candidates) allowed[static_cast<std::size_t>(c.token)] = true;
  }
  const PenaltyState penalties(request);
  Sampler sampler;
  std::vector<int> counts(logits.size(), 0);
  for (int i = 0; i < kDraws; ++i) {
    request.sampling.seed = by_position ? 42 : static_cast<std::uint64_t>(i);
    const TokenId token = sampler.Sample(request, penalties, logits, 0, by_position ? i : 3);
    REQUIRE(token >= 0);
    ++counts[static_cast<std::size_t>(token)];
  }
  const auto p = Softmax(logits, request.sampling.temperature, allowed);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (!allowed[i]) CHECK(counts[i] == 0);
  }
  CHECK(ChiSquareRatio(counts, p, kDraws) < 1.0);
  // The test can fail: the same counts against another temperature.
  CHECK(ChiSquareRatio(counts, Softmax(logits, 1.0f, allowed), kDraws) > 1.0);
}

TEST_CASE("No finite logit is reported, not sampled", "[engine][E8]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Request request;
  request.prompt = {0};
  const PenaltyState penalties(request);
  Sampler sampler;
  for (float temperature : {0.0f, 1.0f}) {
    for (float top_p : {1.0f, 0.5f}) {
      request.sampling.temperature = temperature;
      request.sampling.top_p = top_p;
      CHECK(sampler.Sample(request, penalties, std::vector<float>{nan, nan, nan}, 0, 1) == -1);
      CHECK(sampler.Sample(request, penalties, std::vector<float>{nan, 1.0f, nan}, 0, 1) == 1);
    }
  }
}

TEST_CASE("Log-probabilities", "[engine]") {
  const std::vector<float> logits{1, 3, 2, 0};
  double total = 0;
  for (float v : logits) total += std::exp(v);
  const GeneratedToken token = MakeLogprobs(logits, 2, 2);
  CHECK(token.logprob == Approx(2 - std::log(total)).epsilon(1e-6));
  CHECK(token.rank == 2);
  REQUIRE(token.top.size() == 2);
  CHECK(token.top[0].token == 1);
  CHECK(token.top[0].rank == 1);
  CHECK(token.top[1].token == 2);
  CHECK(token.top[1].logprob == token.logprob);
  CHECK(MakeLogprobs(logits, 0, 0).top.empty());
}

}  // namespace
}  // namespace reprise
