// Single tensors of a quantised file: which type each has, and its contents from the original's.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/status.h"
#include "models/formats/checkpoint.h"
#include "models/model_tensors.h"

namespace reprise {

struct MatrixTypes {
  WeightType matrices;   // CanQuantizeTo
  WeightType shortcuts;  // of a sliced model
};

// F32 for vectors and rotations, F16 for learned positions and matrices whose rows are not whole blocks.
WeightType TypeInQuantizedFile(const ModelTensor& tensor, const MatrixTypes& types);
// Such a matrix that would be quantised if its rows were longer or shorter.
bool StaysUnquantized(const ModelTensor& tensor, const MatrixTypes& types);

// The contents of `tensor`, as `type`, with the source's row row_order[r] as row r; empty: its own order.
// What `tensor` has more rows or columns than the source are zeros. A tensor that needs no change is copied.
// DATA_LOSS, naming the source, when an element that is converted is not finite.
Result<std::vector<std::byte>> ConvertTensor(const TensorInfo& source, std::span<const int> row_order,
                                             const ModelTensor& tensor, WeightType type);

}  // namespace reprise
