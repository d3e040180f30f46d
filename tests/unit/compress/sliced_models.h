// What the tests of slicing share: options for tiny models, and logits of a model on disk.
#pragma once

#include <string>
#include <vector>

#include "compress/slice_model.h"
#include "kernels/backend.h"

namespace reprise::compress {

inline constexpr char kCalibration[] = "tests/data/sliced/calibration.txt";

// Slices tests/data/models/NAME (or a path with a slash) by `sparsity` into `out`, matrices in F32, on a few
// short sequences.
SliceOptions TinyOptions(const std::string& name, const std::string& out, double sparsity);

// [tokens, vocabulary]; fails the test that asks when the model cannot be loaded.
std::vector<float> Logits(const std::string& path, Backend& backend, const std::vector<TokenId>& tokens);

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace reprise::compress
