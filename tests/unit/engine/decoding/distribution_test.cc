// The draws of TokenDistribution over vocabularies of real size; law_test.cc has the whole rule on a tiny
// one.
#include "engine/decoding/distribution.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "base/noise.h"

namespace reprise {
namespace {

std::vector<float> Logits(int size, float phase) {
  std::vector<float> logits(static_cast<std::size_t>(size));
  for (int i = 0; i < size; ++i)
    logits[static_cast<std::size_t>(i)] = 4 * std::sin(phase * static_cast<float>(i));
  return logits;
}

// Whether `token` is where the cumulative sum of `weights` passes u times their total, but for rounding.
bool IsDrawn(const std::vector<double>& weights, TokenId token, double u) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  const double before = std::accumulate(weights.begin(), weights.begin() + token, 0.0);
  const double own = weights[static_cast<std::size_t>(token)];
  const double margin = 1e-5 * total;
  return own > 0 && before <= u * total + margin && before + own >= u * total - margin;
}

std::vector<double> Probabilities(const TokenDistribution& distribution, int size) {
  std::vector<double> probabilities;
  for (TokenId t = 0; t < size; ++t) probabilities.push_back(distribution.Probability(t));
  return probabilities;
}

}  // namespace

TEST_CASE("Sample and SampleResidual invert the cumulative distribution", "[decoding]") {
  const int size = GENERATE(5, 256, 257, 5003);
  const int top_k = GENERATE(0, 40);
  SamplingParams params;
  params.temperature = 0.9f;
  params.top_k = top_k;
  const std::vector<float> target_logits = Logits(size, 0.37f), draft_logits = Logits(size, 0.41f);
  TokenDistribution target, draft;
  REQUIRE(target.Assign(params, target_logits));
  REQUIRE(draft.Assign(params, draft_logits));
  const std::vector<double> p = Probabilities(target, size), q = Probabilities(draft, size);
  CHECK(std::accumulate(p.begin(), p.end(), 0.0) == Approx(1.0).epsilon(1e-5));
  std::vector<double> residual;
  for (std::size_t t = 0; t < p.size(); ++t) residual.push_back(std::max(0.0, p[t] - q[t]));
  draft.Materialize();
  for (std::uint64_t stream = 1; stream <= 400; ++stream) {
    INFO("vocabulary " << size << ", stream " << stream);
    const double u = UniformNoise(stream);
    CHECK(IsDrawn(p, target.Sample(stream), u));
    CHECK(IsDrawn(residual, target.SampleResidual(draft, stream), u));
  }
}

TEST_CASE("The residual of a distribution and a point leaves that token out", "[decoding]") {
  SamplingParams params;
  params.temperature = 1.0f;
  const std::vector<float> logits = Logits(700, 0.2f);
  TokenDistribution target, draft;
  REQUIRE(target.Assign(params, logits));
  const TokenId drafted = 333;
  draft.AssignPoint(drafted);
  std::vector<double> residual = Probabilities(target, 700);
  residual[drafted] = 0;
  for (std::uint64_t stream = 1; stream <= 200; ++stream) {
    CHECK(IsDrawn(residual, target.SampleResidual(draft, stream), UniformNoise(stream)));
  }
}

}  // namespace reprise
