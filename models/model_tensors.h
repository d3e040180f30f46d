// Every tensor of a model with its shape, from the configuration alone.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "models/config.h"
#include "models/tensor_names.h"

namespace reprise {

struct ModelTensor {
  TensorRole role;
  int layer = 0;                    // 0 for tensors that no layer has
  std::vector<std::int64_t> shape;  // [rows, columns] or [size]

  bool is_matrix() const { return shape.size() == 2; }
};

// What the decoder loads, in the order of a forward pass; of a sliced model also the rotations Q_0 and Q_L,
// which modules and drafts of the dense model need to be carried over, at the end.
std::vector<ModelTensor> ModelTensors(const ModelConfig& config);

// Q_0 or Q_L: not part of what computes, so not counted.
constexpr bool IsRotation(TensorRole role) {
  return role == TensorRole::kInputRotation || role == TensorRole::kOutputRotation;
}

// The same by a tensor's name in a file.
bool IsRotationName(std::string_view name);

// Elements of all tensors but the rotations.
std::int64_t NumParameters(const ModelConfig& config);

}  // namespace reprise
