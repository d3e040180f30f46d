// A matrix in the form that it has in the sliced model's file.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "compress/matrix.h"
#include "kernels/backend.h"

namespace reprise::compress {

struct StoredMatrix {
  WeightType type = WeightType::kF32;  // F32, F16 or BF16
  int rows = 0;
  int columns = 0;
  std::vector<std::byte> bytes;

  WeightSource source() const { return {type, bytes.data(), rows, columns, {}}; }
};

// Rounds to nearest. OUT_OF_RANGE, naming `what`, for an element that the type cannot hold.
Result<StoredMatrix> Store(const Matrix& matrix, WeightType type, std::string_view what);

}  // namespace reprise::compress
