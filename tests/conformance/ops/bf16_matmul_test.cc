// Products with bfloat16 weights: every leg has one of three families of instructions, and gives the bits
// that it defines, for any number of rows.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "base/float_types.h"
#include "tests/conformance/ops/bf16_oracle.h"
#include "tests/conformance/ops/legs.h"
#include "tests/conformance/ops/op_data.h"

namespace reprise::test {
namespace {

// Multiplies bfloat16 elements by a power of two, exactly but where they become subnormal.
void Scale(std::vector<std::byte>* weight, int exponent) {
  for (std::size_t i = 0; i < weight->size(); i += 2) {
    std::uint16_t bits;
    std::memcpy(&bits, weight->data() + i, 2);
    bits = FloatToBf16(std::ldexp(Bf16ToFloat(bits), exponent));
    std::memcpy(weight->data() + i, &bits, 2);
  }
}

struct Exponents {
  int weights;
  int activations;
};
// Ordinary numbers; subnormal products; subnormal activations; subnormal weights.
constexpr Exponents kExponents[] = {{0, 0}, {-90, -37}, {0, -128}, {-128, 0}};

void CheckShape(const std::vector<Leg>& legs, Shape shape, Exponents exponents) {
  std::vector<std::byte> data = RandomWeight(WeightType::kBF16, shape.rows, shape.columns, 30);
  Scale(&data, exponents.weights);
  std::vector<float> x = RandomRows(40, shape.columns, 31);
  for (float& value : x) value = std::ldexp(value, exponents.activations);
  for (const Leg& leg : legs) {
    INFO(leg.name << ", " << shape.rows << " x " << shape.columns << ", exponents " << exponents.weights
                  << " and " << exponents.activations);
    const std::unique_ptr<Weight> weight = Pack(leg.backend.get(), WeightType::kBF16, data, shape);
    const std::vector<float> expected = Bf16MatMul(leg.bf16, data, shape.rows, shape.columns, x);
    for (int m : {1, 2, 3, 5, 8, 12, 13, 16, 17, 40}) {
      INFO("m = " << m);
      CHECK(FirstDifference(Multiply(leg.backend.get(), *weight, RowsOf(x, shape.columns, 0, m)),
                            RowsOf(expected, shape.rows, 0, m)) == -1);
    }
  }
}

TEST_CASE("bfloat16 weights give the bits of their instructions' definition") {
  const std::vector<Leg> legs = CpuLegs();
  for (Exponents exponents : kExponents) {
    for (Shape shape : {Shape{1, 1}, {5, 7}, {33, 48}, {64, 100}, {40, 1100}})
      CheckShape(legs, shape, exponents);
  }
}

TEST_CASE("not-a-number and infinity among bfloat16 activations reach the output") {
  const Shape shape{32, 64};
  const std::vector<std::byte> data = RandomWeight(WeightType::kBF16, shape.rows, shape.columns, 32);
  for (const float value : {std::nanf(""), HUGE_VALF}) {
    std::vector<float> x = RandomRows(1, shape.columns, 33);
    x[17] = value;
    for (const Leg& leg : CpuLegs()) {
      INFO(leg.name);
      const std::unique_ptr<Weight> weight = Pack(leg.backend.get(), WeightType::kBF16, data, shape);
      for (const float out : Multiply(leg.backend.get(), *weight, x)) REQUIRE_FALSE(std::isfinite(out));
    }
  }
}

}  // namespace
}  // namespace reprise::test
