#include "compress/matrix.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "base/noise.h"
#include "compress/covariance.h"

namespace reprise::compress {
namespace {

Matrix RandomMatrix(int rows, int columns, std::uint64_t seed) {
  Matrix out(rows, columns);
  std::uint64_t index = 0;
  for (double& value : out.values())
    value = static_cast<double>(static_cast<std::int64_t>(MixBits(seed * 1000003 + index++))) * 0x1p-63;
  return out;
}

TEST_CASE("products of every shape") {
  const std::unique_ptr<Backend> backend = std::move(MakeCpuBackend({3, ""})).value();
  struct Shape {
    int rows, inner, columns;
  };
  for (const Shape shape :
       {Shape{1, 1, 1}, Shape{5, 7, 3}, Shape{66, 300, 65}, Shape{4, 256, 64}, Shape{130, 513, 200}}) {
    const Matrix a = RandomMatrix(shape.rows, shape.inner, 1);
    const Matrix b = RandomMatrix(shape.inner, shape.columns, 2);
    const Matrix c = Product(*backend, a, Transpose::kNo, b);
    const Matrix transposed = Product(*backend, a.Transposed(), Transpose::kYes, b);
    double worst = 0.0;
    for (int i = 0; i < shape.rows; ++i) {
      for (int j = 0; j < shape.columns; ++j) {
        double exact = 0.0;
        for (int k = 0; k < shape.inner; ++k) exact += a.at(i, k) * b.at(k, j);
        worst = std::max(worst, std::fabs(c.at(i, j) - exact));
      }
    }
    INFO(shape.rows << " x " << shape.inner << " x " << shape.columns);
    CHECK(worst <= shape.inner * 0x1p-52);
    CHECK(std::equal(c.values().begin(), c.values().end(), transposed.values().begin()));
  }
}

TEST_CASE("products do not depend on the number of threads") {
  const Matrix a = RandomMatrix(70, 400, 3);
  const Matrix b = RandomMatrix(400, 150, 4);
  const std::unique_ptr<Backend> one = std::move(MakeCpuBackend({1, ""})).value();
  const std::unique_ptr<Backend> many = std::move(MakeCpuBackend({4, ""})).value();
  const Matrix x = Product(*one, a, Transpose::kNo, b);
  const Matrix y = Product(*many, a, Transpose::kNo, b);
  CHECK(std::equal(x.values().begin(), x.values().end(), y.values().begin()));
}

TEST_CASE("covariance is the exact sum of outer products") {
  const std::unique_ptr<Backend> backend = std::move(MakeCpuBackend({2, ""})).value();
  constexpr int kWidth = 130, kRows = 2100;
  std::vector<float> x(static_cast<std::size_t>(kRows) * kWidth);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(MixBits(i) >> 40) * (i % kWidth == 3 ? 1e3f : 1e-3f);
  Covariance covariance(kWidth);
  covariance.Add(*backend, {x.data(), 1000, kWidth, kWidth});
  covariance.Add(*backend, {x.data() + 1000 * kWidth, kRows - 1000, kWidth, kWidth});
  const Matrix got = covariance.Take();
  for (const auto& [i, j] : {std::pair{0, 0}, {3, 3}, {3, 100}, {100, 3}, {129, 64}, {64, 129}}) {
    long double exact = 0.0L;
    for (int t = 0; t < kRows; ++t)
      exact += static_cast<long double>(x[t * kWidth + i]) * static_cast<long double>(x[t * kWidth + j]);
    INFO(i << ", " << j);
    // Floats' products are exact in double: a sum in float would be off by far more.
    CHECK(std::fabs(got.at(i, j) - static_cast<double>(exact)) <= kRows * 0x1p-52 * std::fabs(got.at(i, j)));
  }
}

}  // namespace
}  // namespace reprise::compress
