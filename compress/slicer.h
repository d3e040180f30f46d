// SliceGPT: rotates every block of a model into the principal components of its input, and deletes the
// smallest ones (Ashkboos et al., ICLR 2024; section 3 and the official code's rotate_and_slice).
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/status.h"
#include "base/types.h"
#include "compress/covariance.h"
#include "compress/fused_layer.h"
#include "compress/layer_runner.h"
#include "compress/rotation.h"
#include "compress/stored_matrix.h"
#include "kernels/backend.h"
#include "models/config.h"
#include "models/formats/checkpoint.h"
#include "models/formats/tensor_writer.h"

namespace reprise::compress {

struct SlicerOptions {
  Orientation orientation = Orientation::kRandom;
  std::uint64_t seed = 42;
  WeightType type = WeightType::kF16;  // of the matrices written: F32, F16 or BF16; vectors are F32
};

// Called now and then with what is being done and the share of the work that is behind.
using SliceProgress = std::function<void(std::string_view stage, double done)>;

// The tensors of the sliced model's file.
std::vector<TensorSpec> SlicedTensors(const ModelConfig& sliced, WeightType type);

class Slicer {
 public:
  // `sliced` is what SlicedConfig made of `dense`; `writer` has been created for SlicedTensors. All outlive
  // the slicer.
  Slicer(const Checkpoint& checkpoint, const ModelConfig& dense, const ModelConfig& sliced, Backend& backend,
         TensorWriter& writer, const SlicerOptions& options, SliceProgress progress);

  // Writes every tensor. Holds the calibration signal, [sequences, length, D] floats, and one layer's
  // matrices. The sequences are of one length and their ids in the vocabulary. Errors of the checkpoint and
  // the writer.
  Status Run(std::span<const std::vector<TokenId>> sequences);

 private:
  struct RotatedReader {
    TensorRole weight;
    TensorRole bias;
    const Linear* linear;
  };

  Status LoadSignal(std::span<const std::vector<TokenId>> sequences);
  Status WriteEmbedding();
  Status WriteTable(TensorRole role, int rows);
  Status SliceSequential(int layer);
  Status SliceParallel(int layer);
  Status WriteHead();

  // Runs `step` over every sequence's signal and finds the rotation of what comes out.
  Result<Matrix> NextRotation(std::string_view stage, int kept,
                              const std::function<Status(MatrixView)>& step);
  // The readers in the present basis, written and returned.
  Result<std::vector<StoredMatrix>> WriteReaders(int layer, int kept, std::span<const RotatedReader> readers);
  // Q^T W and Q^T b.
  Status WriteWriter(int layer, const RotatedReader& writer, const Matrix& next, int kept);
  // The way from the kept part of one basis into that of the next, as a matrix [to, from].
  Status WriteShortcut(TensorRole role, int layer, const Matrix& from, int from_kept, const Matrix& to,
                       int to_kept);
  Status WriteAttentionNorms(int layer, const FusedLayer& fused);

  Result<StoredMatrix> WriteMatrix(TensorRole role, int layer, const Matrix& matrix, WeightType type);
  Status WriteVector(TensorRole role, int layer, std::span<const double> values);
  std::string Name(TensorRole role, int layer) const;
  MatrixView Signal(int sequence) const;
  void Report(std::string_view stage, double passes);

  const Checkpoint& checkpoint_;
  const ModelConfig& dense_;
  const ModelConfig& sliced_;
  Backend& backend_;
  TensorWriter& writer_;
  SlicerOptions options_;
  SliceProgress progress_;

  int sequences_ = 0;
  int length_ = 0;
  Buffer signal_;      // [sequences, length, D] floats, in the dense basis
  Matrix rotation_;    // Q of the residual stream at hand, [D, D]
  int rotations_ = 0;  // made so far
  double passes_ = 0;  // of the signal through half a layer, done so far
  std::unique_ptr<LayerRunner> runner_;
};

}  // namespace reprise::compress
