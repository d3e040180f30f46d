#include "tests/conformance/ops/bf16_oracle.h"

#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/float_types.h"
#include "tests/conformance/ops/flushed_float.h"

namespace reprise::test {
namespace {

// Elements of a row; zeros past its end, which matter: adding one makes 0 of a negative result that was
// flushed.
struct PaddedRow {
  const float* data;
  int columns;
  float operator[](int k) const { return k < columns ? data[k] : 0.0f; }
};

float Widened(PaddedRow w, PaddedRow x) {
  float sum = 0.0f;
  for (int k = 0; k < w.columns; ++k) sum = std::fma(w[k], x[k], sum);
  return sum;
}
float Pairs(PaddedRow w, PaddedRow x) {
  float sum = 0.0f;
  for (int k = 0; k < (w.columns + 31) / 32 * 32; k += 2)
    sum = FlushedFma(w[k], x[k], FlushedFma(w[k + 1], x[k + 1], sum));
  return sum;
}
float Tiles(PaddedRow w, PaddedRow x) {
  float sum = 0.0f;
  for (int begin = 0; begin < w.columns; begin += 32) {
    float even = 0.0f;
    float odd = 0.0f;
    for (int k = begin; k < begin + 32; k += 2) {
      even = FlushedFma(w[k], x[k], even);
      odd = FlushedFma(w[k + 1], x[k + 1], odd);
    }
    sum = FlushedSum(sum, FlushedSum(even, odd));
  }
  return sum;
}

}  // namespace

std::vector<float> Bf16MatMul(Bf16Products products, const std::vector<std::byte>& weight, int rows,
                              int columns, const std::vector<float>& x) {
  std::vector<float> w(static_cast<std::size_t>(rows) * columns);
  for (std::size_t i = 0; i < w.size(); ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, weight.data() + 2 * i, 2);
    w[i] = Bf16ToFloat(bits);
  }
  std::vector<float> activations = x;
  if (products != Bf16Products::kWidened)
    for (float& value : activations) value = Bf16ToFloat(FloatToBf16(value));
  const auto dot = products == Bf16Products::kWidened ? Widened
                   : products == Bf16Products::kPairs ? Pairs
                                                      : Tiles;
  std::vector<float> out;
  for (const float* row = activations.data(); row < activations.data() + activations.size(); row += columns) {
    for (int n = 0; n < rows; ++n)
      out.push_back(dot({w.data() + static_cast<std::size_t>(n) * columns, columns}, {row, columns}));
  }
  return out;
}

}  // namespace reprise::test
