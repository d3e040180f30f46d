// The bases that slicing rotates the residual stream into.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "compress/matrix.h"
#include "kernels/backend.h"

namespace reprise::compress {

enum class Orientation {
  kPca,     // principal components as they come
  kRandom,  // the kept ones turned by a random rotation, which spreads their energy evenly
};

struct RotationSpec {
  int kept = 0;  // dimensions that slicing leaves
  Orientation orientation = Orientation::kRandom;
  std::uint64_t seed = 0;
  int index = 0;  // of this rotation in the model: each is turned differently
};

// An orthogonal Q [D, D] whose first `kept` columns span the principal components of a signal with the given
// sum of outer products, damped by 1 % of its mean diagonal (SliceGPT, section 3.3 and the official code's
// pca_calc). The same input gives the same bits.
Result<Matrix> PrincipalRotation(Backend& backend, Matrix covariance, const RotationSpec& spec);

}  // namespace reprise::compress
