#include "compress/rotation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/noise.h"
#include "compress/lapack.h"

namespace reprise::compress {
namespace {

constexpr double kDamping = 0.01;

// Uniform in (0, 1): element `index` of the stream.
double Uniform(std::uint64_t stream, std::uint64_t index) {
  return (static_cast<double>(MixBits(stream ^ MixBits(index)) >> 12) + 0.5) * 0x1p-52;
}

// Independent standard normals (Box and Muller, 1958).
Matrix GaussianMatrix(int n, std::uint64_t stream) {
  Matrix out(n, n);
  std::uint64_t index = 0;
  for (double& value : out.values()) {
    const double radius = std::sqrt(-2.0 * std::log(Uniform(stream, index)));
    value = radius * std::cos(2.0 * std::numbers::pi * Uniform(stream, index + 1));
    index += 2;
  }
  return out;
}

}  // namespace

Result<Matrix> PrincipalRotation(Backend& backend, Matrix covariance, const RotationSpec& spec) {
  const int width = covariance.rows();
  double trace = 0.0;
  for (int i = 0; i < width; ++i) trace += covariance.at(i, i);
  for (int i = 0; i < width; ++i) covariance.at(i, i) += kDamping * trace / width;
  ASSIGN_OR_RETURN(Matrix vectors, EigenvectorsByFallingValue(covariance));
  if (spec.orientation == Orientation::kPca) return vectors;
  const std::uint64_t stream = MixBits(MixBits(spec.seed) ^ static_cast<std::uint64_t>(spec.index));
  ASSIGN_OR_RETURN(const Matrix turn, OrthogonalFactor(GaussianMatrix(spec.kept, stream)));
  const Matrix turned = Product(backend, vectors.FirstColumns(spec.kept), Transpose::kNo, turn);
  for (int r = 0; r < width; ++r) std::copy_n(turned.row(r), spec.kept, vectors.row(r));
  return vectors;
}

}  // namespace reprise::compress
