#include "models/tensor_conversion.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/float_types.h"
#include "kernels/quantize.h"
#include "models/formats/quoted.h"

namespace reprise {
namespace {

constexpr int kBlock = 32;  // columns that share a scale, in all types that we quantise to

// The source's rows in the wanted order, each to the first columns of a row of `out`.
Status ReadRows(const TensorInfo& source, std::int64_t rows, std::int64_t columns,
                std::span<const int> row_order, std::int64_t stride, float* out) {
  const std::size_t row_bytes = source.bytes / static_cast<std::size_t>(rows);
  for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r, out += stride) {
    const std::size_t row = row_order.empty() ? r : static_cast<std::size_t>(row_order[r]);
    Dequantize(source.type, source.data + row_bytes * row, columns, out);
    if (!std::all_of(out, out + columns, [](float value) { return std::isfinite(value); })) {
      return DataLoss("tensor " + Quoted(source.name) + " has an element that is not a finite number");
    }
  }
  return OkStatus();
}

std::vector<std::byte> Encode(const std::vector<float>& values, std::int64_t rows, std::int64_t columns,
                              WeightType type) {
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  if (CanQuantizeTo(type)) {
    return Quantize({WeightType::kF32, bytes, static_cast<int>(rows), static_cast<int>(columns), {}}, type);
  }
  if (type == WeightType::kF32) return {bytes, bytes + values.size() * sizeof(float)};
  std::vector<std::byte> halves(values.size() * 2);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t half = FloatToFp16(values[i]);
    std::memcpy(halves.data() + 2 * i, &half, sizeof(half));
  }
  return halves;
}

}  // namespace

WeightType TypeInQuantizedFile(const ModelTensor& tensor, const MatrixTypes& types) {
  if (!tensor.is_matrix() || IsRotation(tensor.role)) return WeightType::kF32;
  if (tensor.role == TensorRole::kPositionEmbedding || tensor.shape[1] % kBlock != 0) return WeightType::kF16;
  const bool shortcut =
      tensor.role == TensorRole::kAttentionShortcut || tensor.role == TensorRole::kMlpShortcut;
  return shortcut ? types.shortcuts : types.matrices;
}

bool StaysUnquantized(const ModelTensor& tensor, const MatrixTypes& types) {
  return tensor.role != TensorRole::kPositionEmbedding &&
         TypeInQuantizedFile(tensor, types) == WeightType::kF16;
}

Result<std::vector<std::byte>> ConvertTensor(const TensorInfo& source, std::span<const int> row_order,
                                             const ModelTensor& tensor, WeightType type) {
  const bool same_order = std::is_sorted(row_order.begin(), row_order.end());
  if (source.type == type && source.shape == tensor.shape && same_order) {
    return std::vector<std::byte>(source.data, source.data + source.bytes);
  }
  const std::int64_t columns = tensor.is_matrix() ? source.shape[1] : 1;
  const std::int64_t stride = tensor.is_matrix() ? tensor.shape[1] : 1;
  std::vector<float> values(static_cast<std::size_t>(tensor.shape[0] * stride));
  RETURN_IF_ERROR(ReadRows(source, source.shape[0], columns, row_order, stride, values.data()));
  return Encode(values, tensor.shape[0], stride, type);
}

}  // namespace reprise
