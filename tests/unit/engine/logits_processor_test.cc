// The pipeline from logits to candidates against a slow, obvious implementation.
#include "engine/logits_processor.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

namespace reprise {
namespace {

struct Slow {
  float value;
  TokenId token;
};

// Sorts everything; applies min-p, top-k, top-p one after the other.
std::vector<TokenId> SlowFilter(const SamplingParams& params, const std::vector<float>& logits) {
  std::vector<Slow> all;
  const float inverse = 1.0f / params.temperature;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > -std::numeric_limits<float>::infinity())
      all.push_back({logits[i] * inverse, static_cast<TokenId>(i)});
  }
  std::sort(all.begin(), all.end(), [](const Slow& a, const Slow& b) {
    return a.value > b.value || (a.value == b.value && a.token < b.token);
  });
  if (params.min_p > 0) {
    std::erase_if(
        all, [max = all[0].value, &params](const Slow& s) { return s.value < max + std::log(params.min_p); });
  }
  if (params.top_k > 0 && params.top_k < static_cast<int>(logits.size()) &&
      all.size() > static_cast<std::size_t>(params.top_k)) {
    all.resize(static_cast<std::size_t>(params.top_k));
  }
  if (params.top_p < 1) {
    double total = 0, sum = 0;
    for (const Slow& s : all) total += std::exp(static_cast<double>(s.value - all[0].value));
    std::size_t keep = 0;
    while (keep < all.size() && sum < params.top_p * total)
      sum += std::exp(static_cast<double>(all[keep++].value - all[0].value));
    all.resize(std::max<std::size_t>(1, keep));
  }
  std::vector<TokenId> tokens;
  for (const Slow& s : all) tokens.push_back(s.token);
  return tokens;
}

TEST_CASE("Filters agree with sorting everything", "[engine]") {
  std::mt19937 random(4);
  std::normal_distribution<float> normal(0, 3);
  FilteredDistribution out;
  for (int round = 0; round < 300; ++round) {
    std::vector<float> logits(1 + random() % 3000);
    for (float& v : logits) v = normal(random);
    if (round % 5 == 0) logits[random() % logits.size()] = -std::numeric_limits<float>::infinity();
    SamplingParams params;
    params.temperature = 0.3f + static_cast<float>(random() % 100) / 60.0f;
    if (round % 2 == 0) params.top_k = 1 + static_cast<int>(random() % 60);
    if (round % 3 != 0) params.top_p = 0.05f + static_cast<float>(random() % 94) / 100.0f;
    if (round % 4 == 1) params.min_p = static_cast<float>(random() % 100) / 200.0f;
    FilterLogits(params, logits, &out);
    if (!out.filtered) continue;
    std::vector<TokenId> got;
    for (const Candidate& c : out.candidates) got.push_back(c.token);
    INFO("round " << round << " k " << params.top_k << " p " << params.top_p << " min_p " << params.min_p);
    CHECK(got == SlowFilter(params, logits));
  }
}

TEST_CASE("Penalties follow their definitions", "[engine]") {
  Request request;
  request.prompt = {1, 2};
  request.sampling.repetition_penalty = 2.0f;
  request.sampling.frequency_penalty = 0.5f;
  request.sampling.presence_penalty = 0.25f;
  PenaltyState state(request);
  state.Append(2);
  state.Append(3);
  state.Append(3);
  state.Append(4);
  state.Remove(4);
  const std::vector<float> before{1, 1, -1, 2, 1};
  std::vector<float> logits = before;
  REQUIRE(NeedsAdjustment(request, 3));
  AdjustLogits(request, state, 3, logits);
  CHECK(logits[0] == 1);
  CHECK(logits[1] == 0.5f);                     // in the prompt: repetition only
  CHECK(logits[2] == -2.0f - 0.5f - 0.25f);     // prompt and once generated
  CHECK(logits[3] == 1.0f - 2 * 0.5f - 0.25f);  // twice generated
  CHECK(logits[4] == 1);                        // taken back
}

TEST_CASE("Bias and the min_tokens mask", "[engine]") {
  Request request;
  request.prompt = {0};
  request.sampling.logit_bias = {{1, 5.0f}, {2, -100.0f}};
  request.stop_token_ids = {3};
  request.min_tokens = 2;
  const PenaltyState state(request);
  std::vector<float> logits{0, 0, 0, 9};
  AdjustLogits(request, state, 1, logits);
  CHECK(logits[1] == 5);
  CHECK(logits[2] == -100);
  CHECK(ArgMax(logits) == 1);  // the stop token is out
  logits = {0, 0, 0, 9};
  AdjustLogits(request, state, 2, logits);
  CHECK(ArgMax(logits) == 3);
  Request plain;
  plain.prompt = {0};
  CHECK_FALSE(NeedsAdjustment(plain, 0));
}

}  // namespace
}  // namespace reprise
