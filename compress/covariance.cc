#include "compress/covariance.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace reprise::compress {
namespace {

constexpr int kRowsAtOnce = 1024;

}  // namespace

void Covariance::Add(Backend& backend, ConstMatrixView x) {
  REPRISE_CHECK(x.columns == sums_.columns());
  for (int first = 0; first < x.rows; first += kRowsAtOnce) {
    const int rows = std::min(kRowsAtOnce, x.rows - first);
    Matrix block(rows, x.columns);
    for (int r = 0; r < rows; ++r) std::copy_n(x.row(first + r), x.columns, block.row(r));
    AddProduct(backend, block, Transpose::kYes, block, &sums_, /*upper_only=*/true);
  }
}

Matrix Covariance::Take() {
  for (int r = 0; r < sums_.rows(); ++r) {
    for (int c = 0; c < r; ++c) sums_.at(r, c) = sums_.at(c, r);
  }
  return std::move(sums_);
}

}  // namespace reprise::compress
