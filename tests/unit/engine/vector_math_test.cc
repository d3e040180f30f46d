#include "engine/vector_math.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace reprise {
namespace {

TEST_CASE("IndexOfMax takes the first of equals and never NaN", "[engine]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  CHECK(IndexOfMax(std::vector<float>{1, 3, 3, 2}) == 1);
  CHECK(IndexOfMax(std::vector<float>{nan, -5, nan, -4, nan}) == 3);
  CHECK(IndexOfMax(std::vector<float>{nan, nan}) == 2);
  CHECK(IndexOfMax(std::vector<float>{-inf, -inf}) == 0);
  CHECK(IndexOfMax(std::vector<float>{}) == 0);
  std::vector<float> values(1003, 0.0f);
  values[1002] = 1;
  CHECK(IndexOfMax(values) == 1002);
  values[17] = 1;
  CHECK(IndexOfMax(values) == 17);
}

TEST_CASE("SumExp agrees with double precision", "[engine]") {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 6);
  for (std::size_t size : {1u, 7u, 8u, 9u, 4096u, 49152u}) {
    for (float scale : {1.0f, 0.5f, 3.0f}) {
      std::vector<float> values(size);
      float max = -1e30f;
      for (float& v : values) v = normal(random), max = std::max(max, v * scale);
      double expected = 0;
      for (float v : values) expected += std::exp(static_cast<double>(v * scale - max));
      CHECK(SumExp(values, scale, max) == Approx(expected).epsilon(2e-6));
    }
  }
  const float inf = std::numeric_limits<float>::infinity();
  CHECK(SumExp(std::vector<float>{0, -inf, std::numeric_limits<float>::quiet_NaN(), -200, 0}, 1, 0) == 2.0);
}

TEST_CASE("Sum takes every value once", "[engine]") {
  for (std::size_t size : {0u, 1u, 7u, 8u, 9u, 255u, 49157u}) {
    std::vector<float> values(size);
    for (std::size_t i = 0; i < size; ++i) values[i] = static_cast<float>(i % 97);
    double expected = 0;
    for (const float v : values) expected += static_cast<double>(v);
    CHECK(Sum(values) == expected);  // integers add without rounding
  }
}

}  // namespace
}  // namespace reprise
