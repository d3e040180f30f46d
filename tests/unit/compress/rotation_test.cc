#include "compress/rotation.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "compress/lapack.h"

namespace reprise::compress {
namespace {

// Distance of Q^T Q from the identity.
double Skewness(Backend& backend, const Matrix& q) {
  const Matrix gram = Product(backend, q, Transpose::kYes, q);
  double worst = 0.0;
  for (int i = 0; i < gram.rows(); ++i) {
    for (int j = 0; j < gram.columns(); ++j)
      worst = std::max(worst, std::fabs(gram.at(i, j) - (i == j ? 1.0 : 0.0)));
  }
  return worst;
}

// A covariance with eigenvalues 1, 2, ..., n along known axes.
Matrix KnownCovariance(Backend& backend, const Matrix& axes) {
  Matrix scaled = axes;
  for (int r = 0; r < axes.rows(); ++r) {
    for (int c = 0; c < axes.columns(); ++c) scaled.at(r, c) *= c + 1.0;
  }
  return Product(backend, scaled, Transpose::kNo, axes.Transposed());
}

Matrix Axes(int n) {
  Matrix square(n, n);
  for (int r = 0; r < n; ++r) {
    for (int c = 0; c < n; ++c) square.at(r, c) = std::sin(1.0 + 7.0 * r + 3.0 * c * c);
  }
  return std::move(OrthogonalFactor(square)).value();
}

TEST_CASE("the rotation is orthogonal and begins with the strongest directions") {
  const std::unique_ptr<Backend> backend = MakeReferenceBackend();
  constexpr int kWidth = 40, kKept = 25;
  const Matrix axes = Axes(kWidth);
  REQUIRE(Skewness(*backend, axes) < 1e-12);
  for (const Orientation orientation : {Orientation::kPca, Orientation::kRandom}) {
    const auto q = PrincipalRotation(*backend, KnownCovariance(*backend, axes), {kKept, orientation, 42, 3});
    REQUIRE(q.ok());
    CHECK(Skewness(*backend, *q) < 1e-12);
    // The kept columns span the last kKept axes and nothing of the others.
    const Matrix overlap = Product(*backend, axes, Transpose::kYes, q->FirstColumns(kKept));
    double leaked = 0.0;
    for (int a = 0; a < kWidth - kKept; ++a) {
      for (int c = 0; c < kKept; ++c) leaked = std::max(leaked, std::fabs(overlap.at(a, c)));
    }
    CHECK(leaked < 1e-9);
    // As they come, column c is one axis; turned, it is a mixture.
    const double strongest = std::fabs(overlap.at(kWidth - 1, 0));
    if (orientation == Orientation::kPca) {
      CHECK(strongest == Approx(1.0));
    } else {
      CHECK(strongest < 0.9);
    }
  }
}

TEST_CASE("random orientations are functions of seed and index") {
  const std::unique_ptr<Backend> backend = MakeReferenceBackend();
  const Matrix covariance = KnownCovariance(*backend, Axes(12));
  const auto rotation = [&](std::uint64_t seed, int index) {
    const Matrix q =
        std::move(PrincipalRotation(*backend, covariance, {8, Orientation::kRandom, seed, index})).value();
    return std::vector<double>(q.values().begin(), q.values().end());
  };
  CHECK(rotation(1, 0) == rotation(1, 0));
  CHECK(rotation(1, 0) != rotation(2, 0));
  CHECK(rotation(1, 0) != rotation(1, 1));
}

TEST_CASE("a signal that is not finite has no principal components") {
  Matrix covariance(3, 3);
  covariance.at(1, 1) = std::nan("");
  CHECK(EigenvectorsByFallingValue(covariance).status().code() == StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace reprise::compress
