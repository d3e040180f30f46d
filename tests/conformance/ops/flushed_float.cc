#include "tests/conformance/ops/flushed_float.h"

#include <cmath>

namespace reprise::test {
namespace {

float Flush(float x) {
  return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x;
}

}  // namespace

// A result is subnormal if it would be, rounded to all 24 bits: std::fma may round the same up to a normal
// one.
float FlushedFma(float a, float b, float sum) {
  a = Flush(a);
  b = Flush(b);
  sum = Flush(sum);
  const float result = std::fma(a, b, sum);
  if (std::fabs(result) > 0x1p-126f) return result;
  const double exact = static_cast<double>(a) * b + sum;
  const auto with_all_bits = static_cast<float>(exact * 0x1p64);
  return std::fabs(with_all_bits) < 0x1p-62f ? std::copysign(0.0f, result) : result;
}

float FlushedSum(float a, float b) {
  return Flush(Flush(a) + Flush(b));
}

}  // namespace reprise::test
