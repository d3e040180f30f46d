// Rounds float weights to the simple block formats of GGUF files.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/backend.h"

namespace reprise {

// The types that Quantize can produce.
constexpr bool CanQuantizeTo(WeightType type) {
  return type == WeightType::kQ8_0 || type == WeightType::kQ4_0 || type == WeightType::kQ4_1;
}

// `source`'s rows in file form of `type`, in their stored order (row_order is not applied). Each block's
// scale comes from its own extremes, as in ggml's reference quantisation, so that files interchange. Requires
// CanQuantizeTo(type) and whole blocks in a row.
std::vector<std::byte> Quantize(const WeightSource& source, WeightType type);

}  // namespace reprise
