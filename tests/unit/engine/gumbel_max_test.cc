#include "engine/gumbel_max.h"

#include <catch2/catch.hpp>
#include <limits>
#include <random>
#include <vector>

#include "base/noise.h"

namespace reprise {
namespace {

// The definition: noise for every token.
TokenId Definition(const std::vector<float>& logits, float inverse_temperature, std::uint64_t stream,
                   const std::vector<TokenId>& ids) {
  TokenId best = -1;
  float best_value = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const TokenId token = ids.empty() ? static_cast<TokenId>(i) : ids[i];
    const float value = logits[i] * inverse_temperature + GumbelNoise(stream, token);
    if (value == value && (best < 0 || value > best_value)) best_value = value, best = token;
  }
  return best;
}

}  // namespace

TEST_CASE("Skipping noise that cannot win never changes the draw", "[engine]") {
  std::mt19937 random(5);
  // Flat rows, where nearly every token may win, and steep ones; sizes that fill vectors and do not.
  const float deviation = GENERATE(0.0f, 0.3f, 4.0f, 20.0f);
  const std::size_t size = GENERATE(1, 7, 8, 500, 4093);
  const bool reduced = GENERATE(false, true);
  std::normal_distribution<float> normal(0, 1);
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    std::vector<float> logits(size);
    std::vector<TokenId> ids;
    for (float& v : logits) v = deviation * normal(random);
    logits[size / 2] = std::numeric_limits<float>::quiet_NaN();
    logits[size / 3] = 1.0f;
    TokenId id = 0;
    for (std::size_t i = 0; reduced && i < size; ++i)
      ids.push_back(id += 1 + static_cast<TokenId>(random() % 9));
    const float inverse_temperature = 0.5f + static_cast<float>(seed % 7);
    const std::uint64_t stream = NoiseStream({seed, 0, 9, NoiseKind::kSample});
    INFO("deviation " << deviation << ", " << size << " entries, seed " << seed);
    CHECK(SampleGumbel(logits, inverse_temperature, stream, ids) ==
          Definition(logits, inverse_temperature, stream, ids));
  }
}

}  // namespace reprise
