// What the tests of slicing share.
#pragma once

#include <string>

#include "compress/slice_model.h"

namespace reprise::compress {

inline constexpr char kCalibration[] = "tests/data/sliced/calibration.txt";

// Slices tests/data/models/NAME (or a path with a slash) by `sparsity` into `out`, matrices in F32, on a few
// short sequences.
SliceOptions TinyOptions(const std::string& name, const std::string& out, double sparsity);

}  // namespace reprise::compress
