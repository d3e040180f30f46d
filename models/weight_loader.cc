#include "models/weight_loader.h"

#include <array>
#include <utility>

#include "kernels/quantize.h"

namespace reprise {
namespace {

bool IsFloat(WeightType type) {
  return type == WeightType::kF32 || type == WeightType::kF16 || type == WeightType::kBF16;
}

}  // namespace

Result<std::unique_ptr<Weight>> WeightLoader::LoadMatrix(std::span<const MatrixSource> stacked, int columns,
                                                         int layer) {
  std::vector<WeightSource> sources;
  std::vector<std::vector<std::byte>> quantized;  // lives until Pack returns
  for (const MatrixSource& matrix : stacked) {
    ASSIGN_OR_RETURN(const TensorInfo* tensor, FindTensor(checkpoint_, matrix.role, layer));
    const std::array<std::int64_t, 2> shape{matrix.rows, columns};
    RETURN_IF_ERROR(CheckShape(*tensor, shape));
    WeightSource source{tensor->type, tensor->data, matrix.rows, columns, matrix.row_order};
    if (quantize_to_ && IsFloat(tensor->type) &&
        columns % GetWeightTypeInfo(*quantize_to_).block_elements == 0) {
      quantized.push_back(Quantize(source, *quantize_to_));
      source.type = *quantize_to_;
      source.data = quantized.back().data();
    }
    sources.push_back(source);
    num_parameters_ += tensor->elements();
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Weight> weight, backend_.Pack(sources));
  weight_bytes_ += weight->bytes();
  return weight;
}

Result<const float*> WeightLoader::LoadVector(std::span<const VectorSource> parts, int layer) {
  std::vector<float> values;
  for (const VectorSource& part : parts) {
    ASSIGN_OR_RETURN(const TensorInfo* tensor, FindTensor(checkpoint_, part.role, layer));
    const std::array<std::int64_t, 1> shape{part.size};
    RETURN_IF_ERROR(CheckShape(*tensor, shape));
    std::vector<float> own(static_cast<std::size_t>(part.size));
    Dequantize(tensor->type, tensor->data, part.size, own.data());
    for (int i = 0; i < part.size; ++i) values.push_back(own[part.order.empty() ? i : part.order[i]]);
    num_parameters_ += part.size;
  }
  return UploadFloats(values);
}

Result<const float*> WeightLoader::LoadTable(TensorRole role, int rows, int columns) {
  ASSIGN_OR_RETURN(const TensorInfo* tensor, FindTensor(checkpoint_, role));
  const std::array<std::int64_t, 2> shape{rows, columns};
  RETURN_IF_ERROR(CheckShape(*tensor, shape));
  std::vector<float> values(static_cast<std::size_t>(tensor->elements()));
  Dequantize(tensor->type, tensor->data, tensor->elements(), values.data());
  num_parameters_ += tensor->elements();
  return UploadFloats(values);
}

Result<const float*> WeightLoader::UploadFloats(const std::vector<float>& values) {
  ASSIGN_OR_RETURN(std::unique_ptr<DeviceMemory> memory, backend_.Allocate(values.size() * sizeof(float)));
  backend_.Upload(memory->data(), values.data(), values.size() * sizeof(float));
  const auto* data = static_cast<const float*>(memory->data());
  memory_.push_back(std::move(memory));
  return data;
}

}  // namespace reprise
