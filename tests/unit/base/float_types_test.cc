#include "base/float_types.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

namespace reprise {
namespace {

TEST_CASE("Every fp16 value survives a round trip", "[base]") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = Fp16ToFloat(half);
    if (std::isnan(value)) {
      CHECK((FloatToFp16(value) & 0x7c00) == 0x7c00);
      CHECK((FloatToFp16(value) & 0x03ff) != 0);
    } else if (FloatToFp16(value) != half) {
      FAIL("fp16 " << bits << " became " << FloatToFp16(value));
    }
  }
}

TEST_CASE("fp16 rounds to nearest even", "[base]") {
  CHECK(FloatToFp16(1.0f + 1.0f / 2048) == 0x3c00);  // half way: even
  CHECK(FloatToFp16(1.0f + 3.0f / 2048) == 0x3c02);  // half way: up to even
  CHECK(FloatToFp16(1.0f + 1.01f / 2048) == 0x3c01);
  CHECK(FloatToFp16(65519.0f) == 0x7bff);
  CHECK(FloatToFp16(65520.0f) == 0x7c00);          // to infinity
  CHECK(FloatToFp16(std::ldexp(1.0f, -25)) == 0);  // half of the smallest subnormal: even is 0
  CHECK(FloatToFp16(std::ldexp(1.5f, -25)) == 1);
  CHECK(FloatToFp16(-std::ldexp(1.0f, -24)) == 0x8001);
  CHECK(Fp16ToFloat(0x0001) == std::ldexp(1.0f, -24));
}

TEST_CASE("bf16 rounds to nearest even and keeps NaN", "[base]") {
  CHECK(FloatToBf16(1.0f) == 0x3f80);
  CHECK(FloatToBf16(std::bit_cast<float>(0x3f808000u)) == 0x3f80);
  CHECK(FloatToBf16(std::bit_cast<float>(0x3f818000u)) == 0x3f82);
  CHECK(FloatToBf16(std::bit_cast<float>(0x3f808001u)) == 0x3f81);
  CHECK(std::isnan(Bf16ToFloat(FloatToBf16(std::bit_cast<float>(0x7f800001u)))));
  CHECK(Bf16ToFloat(FloatToBf16(std::numeric_limits<float>::infinity())) ==
        std::numeric_limits<float>::infinity());
}

}  // namespace
}  // namespace reprise
