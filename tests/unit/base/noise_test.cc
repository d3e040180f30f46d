#include "base/noise.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

namespace reprise {
namespace {

TEST_CASE("Uniform noise is in the open interval and uniform", "[base]") {
  constexpr int kDraws = 200000, kCells = 50;
  int cells[kCells] = {};
  double sum = 0;
  for (int i = 0; i < kDraws; ++i) {
    const float u =
        UniformNoise(NoiseStream({static_cast<std::uint64_t>(i / 100), 0, 7, NoiseKind::kSample}), i % 100);
    REQUIRE(u > 0.0f);
    REQUIRE(u < 1.0f);
    sum += u;
    ++cells[static_cast<int>(u * kCells)];
  }
  CHECK(sum / kDraws == Approx(0.5).margin(0.003));
  double chi = 0;
  for (int count : cells) chi += std::pow(count - kDraws / kCells, 2) / (kDraws / kCells);
  CHECK(chi < 90);  // 49 degrees of freedom, 99.97 %
}

TEST_CASE("Every part of the key matters", "[base]") {
  const NoiseKey base{1, 2, 3, NoiseKind::kSample};
  std::set<std::uint64_t> streams{NoiseStream(base)};
  for (NoiseKey key : {NoiseKey{2, 2, 3, NoiseKind::kSample}, NoiseKey{1, 3, 3, NoiseKind::kSample},
                       NoiseKey{1, 2, 4, NoiseKind::kSample}, NoiseKey{1, 2, 3, NoiseKind::kDraft},
                       NoiseKey{1, 2, 3, NoiseKind::kAccept}, NoiseKey{1, 3, 2, NoiseKind::kSample}}) {
    streams.insert(NoiseStream(key));
  }
  CHECK(streams.size() == 7);
  CHECK(UniformNoise(NoiseStream(base), 5) != UniformNoise(NoiseStream(base), 6));
  CHECK(UniformNoise(NoiseStream(base), 5) == UniformNoise(NoiseStream(base), 5));
}

TEST_CASE("Kinds are independent of each other", "[base]") {
  // Sample correlation between two kinds over many positions.
  double xy = 0;
  constexpr int kDraws = 100000;
  for (std::uint32_t i = 0; i < kDraws; ++i) {
    const double x = UniformNoise(NoiseStream({9, 0, i, NoiseKind::kSample}), 3) - 0.5;
    const double y = UniformNoise(NoiseStream({9, 0, i, NoiseKind::kDraft}), 3) - 0.5;
    xy += x * y;
  }
  CHECK(std::abs(xy / kDraws * 12) < 0.015);
}

TEST_CASE("Gumbel noise has the mean and variance of a Gumbel", "[base]") {
  double sum = 0, squares = 0;
  constexpr int kDraws = 200000;
  for (int i = 0; i < kDraws; ++i) {
    const double g = GumbelNoise(NoiseStream({4, 0, static_cast<std::uint32_t>(i), NoiseKind::kSample}), 11);
    sum += g;
    squares += g * g;
  }
  const double mean = sum / kDraws;
  CHECK(mean == Approx(0.5772).margin(0.01));
  CHECK(squares / kDraws - mean * mean == Approx(1.6449).margin(0.03));
}

}  // namespace
}  // namespace reprise
