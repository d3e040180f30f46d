// The uncentred covariance X^T X of a signal, accumulated in double precision.
#pragma once

#include "compress/matrix.h"
#include "kernels/backend.h"

namespace reprise::compress {

class Covariance {
 public:
  explicit Covariance(int width) : sums_(width, width) {}

  // Adds the rows of x [n, width]. Products of floats are exact in double; only sums round.
  void Add(Backend& backend, ConstMatrixView x);
  // The sum over all rows, [width, width], symmetric.
  Matrix Take();

 private:
  Matrix sums_;  // above the diagonal until Take
};

}  // namespace reprise::compress
