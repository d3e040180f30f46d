// Keys and values as int8 with a scale for each head.
#include "kernels/kv_int8.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/backend.h"

namespace reprise {
namespace {

TEST_CASE("a head comes back within half a step, its largest element as 127") {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const float magnitude : {1e-20f, 1e-3f, 1.0f, 1e20f}) {
    std::vector<float> x(64);
    for (float& value : x) value = magnitude * normal(random);
    x[17] = -6 * magnitude;
    const KvScale scale = KvScaleOf(x.data(), 64);
    CHECK(scale.scale == Approx(6 * magnitude / 127));
    CHECK(QuantizeKv(x[17], scale.inverse) == -127);
    for (const float value : x) {
      const double back = static_cast<double>(scale.scale) * QuantizeKv(value, scale.inverse);
      CHECK(std::abs(back - value) <= 0.5001 * static_cast<double>(scale.scale));
    }
  }
}

TEST_CASE("halves go to the even integer") {
  for (const auto& [x, expected] : {std::pair(0.5f, 0), {1.5f, 2}, {-0.5f, 0}, {-1.5f, -2}, {126.5f, 126}})
    CHECK(QuantizeKv(x, 1.0f) == expected);
}

TEST_CASE("a head of zeros stays one, and what is not finite shows") {
  const float zeros[4] = {0.0f, -0.0f, 1e-40f, 0.0f};
  CHECK(KvScaleOf(zeros, 4).scale == 0.0f);
  CHECK(QuantizeKv(1e-40f, KvScaleOf(zeros, 4).inverse) == 0);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    const float x[4] = {1.0f, bad, 2.0f, -3.0f};
    CHECK_FALSE(std::isfinite(KvScaleOf(x, 4).scale));
  }
}

TEST_CASE("a head of 64 takes 68 bytes") {
  KvGeometry geometry{10, 16, 3, 64, KvType::kInt8};
  CHECK(geometry.block_bytes() == 16u * 3 * 68);
  geometry.type = KvType::kBF16;
  CHECK(geometry.block_bytes() == 16u * 3 * 128);
}

}  // namespace
}  // namespace reprise
