// One layer of a dense model with its norms folded into the matrices that read them.
#pragma once

#include <span>
#include <vector>

#include "base/status.h"
#include "compress/matrix.h"
#include "models/config.h"
#include "models/formats/checkpoint.h"
#include "models/tensor_names.h"

namespace reprise::compress {

// y = weight x + bias
struct Linear {
  Matrix weight;             // [out, in]
  std::vector<double> bias;  // [out], or empty
};

// Rows and order as in Hugging Face's files, whatever the checkpoint is.
struct FusedLayer {
  Linear query, key, value, output;
  Linear gate;  // empty unless the MLP is gated
  Linear up, down;
  std::vector<float> query_norm, key_norm;  // per head, or empty
};

// Rows [first, first + rows) of a matrix with `columns` columns; `total_rows` is what its shape must say. NaN
// and infinite elements are DATA_LOSS naming the tensor.
Result<Matrix> ReadRows(const Checkpoint& checkpoint, TensorRole role, int layer, int total_rows, int columns,
                        int first, int rows);
Result<std::vector<double>> ReadVector(const Checkpoint& checkpoint, TensorRole role, int layer, int size);

// SliceGPT, section 3.2 and the official code's layernorm_fusion: the norm's scale goes into the columns of
// its readers, its offset into their biases. Of layer norms, the mean that they subtract is taken out of what
// is added to the residual stream instead, so that what is left of every norm is x / rms(x).
Result<FusedLayer> LoadFusedLayer(const Checkpoint& checkpoint, const ModelConfig& config, int layer);

// W <- W diag(scale), b <- b + W offset. An empty offset is none; a bias is made where one is needed.
void FoldNorm(std::span<const double> scale, std::span<const double> offset, Linear* reader);
// Subtracts each row's mean.
void SubtractRowMeans(Matrix* rows);

}  // namespace reprise::compress
