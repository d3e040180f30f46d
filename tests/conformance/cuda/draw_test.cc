// Tokens drawn on the device are the host sampler's.
#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "base/noise.h"
#include "engine/sampler.h"
#include "tests/conformance/cuda/cuda_legs.h"

namespace reprise::test {
namespace {

TEST_CASE("cuda: drawn tokens are the host's") {
  constexpr int kRows = 24;
  constexpr int kVocabulary = 1531;
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<float> logits(kRows * kVocabulary);
  for (float& logit : logits) logit = normal(random);
  const auto row = [&](int r) {
    return std::span(logits).subspan(static_cast<std::size_t>(r) * kVocabulary, kVocabulary);
  };
  for (float& logit : row(5)) logit = NAN;
  for (float& logit : row(6)) logit = -INFINITY;
  row(7)[100] = NAN;
  row(8)[1400] = row(8)[77] = row(8)[900] = 50.0f;  // a tie
  std::vector<DrawSpec> draws(kRows);
  for (int r = 10; r < kRows; ++r)
    draws[static_cast<std::size_t>(r)] = {
        NoiseStream({7, 0, static_cast<std::uint32_t>(r), NoiseKind::kSample}), 1.0f / 0.7f};
  const DeviceRows device_logits(backend.get(), logits, kRows, kVocabulary);
  std::vector<TokenId> tokens(kRows, -7);
  REQUIRE(backend->DrawRows(device_logits, draws, tokens));
  REQUIRE(backend->Synchronize().ok());
  int noisy = 0;
  for (int r = 0; r < kRows; ++r) {
    INFO("row " << r);
    const DrawSpec& draw = draws[static_cast<std::size_t>(r)];
    const TokenId greedy = ArgMax(row(r));
    const TokenId expected =
        r < 10 ? greedy : SampleGumbel(row(r), draw.inverse_temperature, draw.noise_stream);
    CHECK(tokens[static_cast<std::size_t>(r)] == expected);
    noisy += expected != greedy;
  }
  CHECK(tokens[5] == -1);
  CHECK(tokens[6] == -1);
  CHECK(tokens[8] == 77);
  CHECK(noisy > 3);
}

}  // namespace
}  // namespace reprise::test
