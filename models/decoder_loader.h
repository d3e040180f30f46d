// Builds a Decoder from a checkpoint: finds every tensor, checks its shape against the configuration, packs
// it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/decoder.h"
#include "models/tensor_names.h"

namespace reprise {

class DecoderLoader {
 public:
  DecoderLoader(const Checkpoint& checkpoint, Decoder& decoder)
      : checkpoint_(checkpoint), decoder_(decoder), config_(decoder.config_), backend_(decoder.backend_) {}

  Status Load(int max_positions);

 private:
  // A [rows, columns] matrix of the checkpoint.
  struct Matrix {
    TensorRole role;
    int rows;
    std::span<const int> row_order = {};
  };

  Status LoadLayer(int index, Decoder::Layer* layer);
  Status LoadRope(int max_positions);
  Result<std::unique_ptr<Weight>> LoadWeight(std::span<const Matrix> stacked, int columns, int layer);
  // A vector as floats on the device; `parts` are concatenated.
  struct Vector {
    TensorRole role;
    int size;
    std::span<const int> order = {};
  };
  Result<const float*> LoadVector(std::span<const Vector> parts, int layer);
  Result<const float*> UploadFloats(const std::vector<float>& values);

  const Checkpoint& checkpoint_;
  Decoder& decoder_;
  const ModelConfig& config_;
  Backend& backend_;
  std::vector<int> query_order_;  // undo GGUF's row permutation; empty when there is none
  std::vector<int> key_order_;
};

}  // namespace reprise
