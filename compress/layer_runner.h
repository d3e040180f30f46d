// Runs one layer of a model that is being sliced over calibration sequences: its inputs are sliced already,
// its output is still in the dense model's basis, where the next rotation is found.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "compress/fused_layer.h"
#include "compress/matrix.h"
#include "compress/stored_matrix.h"
#include "kernels/backend.h"
#include "models/config.h"

namespace reprise::compress {

// A basis Q of the residual stream and how many of its directions are kept: x -> x Q[:, :kept] and back.
struct KeptBasis {
  const Matrix* rotation;  // [D, D]
  int kept;
};

class LayerRunner {
 public:
  // `dense` is the model before slicing. The backend outlives the runner. RESOURCE_EXHAUSTED with the size.
  static Result<std::unique_ptr<LayerRunner>> Create(const ModelConfig& dense, Backend& backend, int length);

  // The matrices that read the basis are in it already; `output` and `down` are the dense model's.
  Status SetAttention(const KeptBasis& basis, std::span<const StoredMatrix> qkv, const FusedLayer& layer);
  Status SetMlp(const KeptBasis& basis, std::span<const StoredMatrix> gate_up, const FusedLayer& layer);

  // signal [length, D], in place: x <- x_s S + attention(x_s), x_s being x in the attention's kept basis and
  // S the way back.
  Status Attend(MatrixView signal);
  // x <- x_s S + mlp(x_s), in the MLP's basis.
  Status Mlp(MatrixView signal);
  // x <- x_s S + attention(x_s) + mlp(x_s): a parallel block, whose two parts share the attention's basis.
  Status Parallel(MatrixView signal);

 private:
  LayerRunner(const ModelConfig& dense, Backend& backend, int length);
  Status Allocate();
  Result<std::unique_ptr<Weight>> Pack(const Matrix& matrix);
  Status SetBasis(const KeptBasis& basis);
  void Rotate(ConstMatrixView signal);
  void RunAttention();
  void RunInner();
  MatMulArgs Down(MatrixView out);
  MatMulArgs Normed(const Weight& weight, const std::vector<float>& bias, MatrixView out);

  ModelConfig config_;
  Backend& backend_;
  int length_;
  int kept_ = 0;

  // Of the layer at hand.
  std::unique_ptr<Weight> enter_;  // [kept, D]
  std::unique_ptr<Weight> leave_;  // [D, kept]
  std::unique_ptr<Weight> qkv_, output_, gate_up_, down_;
  std::vector<float> qkv_bias_, output_bias_, up_bias_, down_bias_, query_norm_, key_norm_;

  // Of one sequence.
  std::vector<float> rope_table_;
  std::vector<TokenId> token_ids_;
  std::vector<int> positions_;
  std::vector<BlockId> blocks_;
  int query_start_[2] = {}, context_len_[1] = {}, block_start_[2] = {};
  BatchView batch_;
  RopeTable rope_;
  std::unique_ptr<DeviceMemory> activations_, keys_, values_;
  KvLayer kv_;
  std::unique_ptr<AttentionPlan> plan_;
  float* sliced_rows_ = nullptr;     // [length, D]
  float* qkv_rows_ = nullptr;        // [length, (Hq + 2 Hkv) head_dim]
  float* attention_rows_ = nullptr;  // [length, Hq head_dim]
  float* inner_rows_ = nullptr;      // [length, 2F] or [length, F]
};

}  // namespace reprise::compress
