#include "tests/conformance/cuda/draw_scene.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace reprise::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool OneIn(std::mt19937& random, int n) {
  return random() % static_cast<unsigned>(n) == 0;
}
template <typename T>
T Pick(std::mt19937& random, const std::vector<T>& values) {
  return values[random() % values.size()];
}
TokenId RandomToken(std::mt19937& random, int vocabulary) {
  return static_cast<TokenId>(random() % static_cast<unsigned>(vocabulary));
}

void ConfigureSampling(std::mt19937& random, int vocabulary, SamplingParams* params) {
  params->temperature = Pick<float>(random, {0.0f, 0.3f, 0.7f, 1.0f, 2.0f});
  if (OneIn(random, 2))
    params->top_k = Pick<int>(random, {1, 2, 20, vocabulary - 1, vocabulary, 2 * vocabulary});
  if (OneIn(random, 2)) params->top_p = Pick<float>(random, {1e-3f, 0.1f, 0.5f, 0.9f, 0.99f});
  if (OneIn(random, 3)) params->min_p = Pick<float>(random, {1e-4f, 0.05f, 0.5f, 1.0f});
  if (OneIn(random, 3)) params->repetition_penalty = Pick<float>(random, {0.7f, 1.3f});
  if (OneIn(random, 3)) params->presence_penalty = Pick<float>(random, {-0.5f, 1.5f});
  if (OneIn(random, 3)) params->frequency_penalty = Pick<float>(random, {-0.3f, 0.4f});
  if (OneIn(random, 3)) {
    for (int i = 0; i < 4; ++i) {
      const TokenId token = (i * vocabulary / 4 + RandomToken(random, vocabulary) / 4) % vocabulary;
      params->logit_bias.emplace_back(token,
                                      OneIn(random, 4) ? -kInfinity : 3.0f - 2.0f * static_cast<float>(i));
    }
  }
  if (OneIn(random, 3))
    params->num_logprobs = static_cast<int>(random() % static_cast<unsigned>(std::min(6, vocabulary)));
  params->seed = random();
}

}  // namespace

std::vector<float> RandomLogits(std::mt19937& random, int vocabulary) {
  const unsigned kind = random() % 12;
  std::normal_distribution<float> normal(0.0f, kind == 0 ? 40.0f : 3.0f);
  std::vector<float> row(static_cast<std::size_t>(vocabulary));
  for (float& logit : row) {
    logit = normal(random);
    if (kind == 1) logit = std::round(logit);  // ties
    if (kind == 2) logit = -7.25f;             // all equal
    if (kind == 3) logit = -kInfinity;         // one finite, below
    if (kind == 4 && OneIn(random, 2)) logit = -kInfinity;
    if (kind == 5 && OneIn(random, 5)) logit = std::nanf("");
    if (kind == 6) logit = OneIn(random, 50) ? 60.0f + logit : logit - 40.0f;
    if (kind == 7) logit = logit < 0.0f ? -0.0f : 0.0f;
  }
  if (kind == 3 && !OneIn(random, 4)) row[random() % row.size()] = 1.5f;
  return row;
}

RandomSequence::RandomSequence(std::mt19937& random, int vocabulary) : request(std::make_shared<Request>()) {
  ConfigureSampling(random, vocabulary, &request->sampling);
  request->max_tokens = 100;
  for (int i = 0; i < 6; ++i) request->prompt.push_back(RandomToken(random, vocabulary));
  if (OneIn(random, 4)) {
    request->min_tokens = 8;
    for (int i = 0; i < 3; ++i) request->stop_token_ids.push_back(RandomToken(random, vocabulary));
  }
  sequence.request = request;
  sequence.tokens = request->prompt;
  const auto num_generated = static_cast<int>(random() % 10);
  for (int i = 0; i < num_generated; ++i) sequence.tokens.push_back(RandomToken(random, vocabulary));
  sequence.num_computed = static_cast<int>(sequence.tokens.size()) - 1;
}

}  // namespace reprise::test
