// Takes weights out of a checkpoint: finds each tensor, checks its shape, and packs or uploads it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "models/formats/checkpoint.h"
#include "models/tensor_names.h"

namespace reprise {

// A [rows, columns] matrix of the checkpoint. When not empty, packed row r is its row row_order[r].
struct MatrixSource {
  TensorRole role;
  int rows;
  std::span<const int> row_order = {};
};

// A vector of the checkpoint. When not empty, element i is its element order[i].
struct VectorSource {
  TensorRole role;
  int size;
  std::span<const int> order = {};
};

class WeightLoader {
 public:
  // Both outlive the loader. With `quantize_to`, matrices stored as floats are held in that block format.
  WeightLoader(const Checkpoint& checkpoint, Backend& backend,
               std::optional<WeightType> quantize_to = std::nullopt)
      : checkpoint_(checkpoint), backend_(backend), quantize_to_(quantize_to) {}

  // The matrices stacked along their rows, all of `columns` columns. Errors name the tensor. `layer` is
  // ignored for roles that no layer has.
  Result<std::unique_ptr<Weight>> LoadMatrix(std::span<const MatrixSource> stacked, int columns, int layer);
  // The vectors one after another, as floats on the device.
  Result<const float*> LoadVector(std::span<const VectorSource> parts, int layer);
  Result<const float*> LoadVector(TensorRole role, int size, int layer) {
    const VectorSource part{role, size};
    return LoadVector({&part, 1}, layer);
  }
  // A matrix [rows, columns] of the checkpoint as floats on the device.
  Result<const float*> LoadTable(TensorRole role, int rows, int columns);
  Result<const float*> UploadFloats(const std::vector<float>& values);

  const Checkpoint& checkpoint() const { return checkpoint_; }
  // Of what has been loaded so far: bytes of the packed matrices, elements of everything.
  std::size_t weight_bytes() const { return weight_bytes_; }
  std::int64_t num_parameters() const { return num_parameters_; }
  // The memory behind the vectors; the caller keeps it as long as the pointers.
  std::vector<std::unique_ptr<DeviceMemory>> TakeMemory() { return std::move(memory_); }

 private:
  const Checkpoint& checkpoint_;
  Backend& backend_;
  std::optional<WeightType> quantize_to_;
  std::size_t weight_bytes_ = 0;
  std::int64_t num_parameters_ = 0;
  std::vector<std::unique_ptr<DeviceMemory>> memory_;
};

}  // namespace reprise
