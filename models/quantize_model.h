// From any model on disk to a block-quantised GGUF file, and from modules and drafts to directories with one:
// what `reprise quantize` does.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "kernels/weight_type.h"

namespace reprise {

struct QuantizeOptions {
  // A Hugging Face directory, a GGUF file, or the directory of a recycle module or of a draft that shares its
  // target's vocabulary matrices.
  std::string model;
  std::string out;                      // the file to make, of the last two a directory; must not exist
  WeightType type = WeightType::kQ8_0;  // of the matrices: Q8_0, Q4_0 or Q4_1
  // Of a sliced model's shortcuts. The residual stream itself passes through all of them, so that what they
  // are off by adds up over the layers.
  WeightType shortcut_type = WeightType::kQ8_0;
};

struct QuantizeSummary {
  std::int64_t parameters = 0;
  std::uint64_t bytes = 0;       // of all tensors
  int unquantized_matrices = 0;  // kept in F16: their rows are not whole blocks
};

// Matrices that are of the wanted type already are copied as they are; others are rounded to it from their
// dequantised values. The widths of a sliced model become multiples of a block, by zeros that change no
// output. Vectors stay F32. The tokenizer comes along. A run that fails leaves nothing. Bad input is
// INVALID_ARGUMENT, NOT_FOUND or DATA_LOSS naming it. `progress` gets the share of tensors done.
Result<QuantizeSummary> QuantizeModel(const QuantizeOptions& options,
                                      const std::function<void(double)>& progress);

}  // namespace reprise
