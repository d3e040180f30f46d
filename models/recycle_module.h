// RecycleGPT's module (2308.03421): a few layers that guess the next token from the hidden state the full
// model has just computed and the embedding of the token it chose.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "models/decoder.h"
#include "models/draft_config.h"
#include "models/layer_stack.h"

namespace reprise {

// Slot j, at absolute position j, reads the target's hidden state h[j-1] [D] and its embedding of token j
// [E], where E = D but for a sliced target:
//   u_j = input_projection [RmsNorm(h[j-1]); RmsNorm(e_j)], then layers with a KV cache of their own, then a
// norm and the target's head, in full or over a draft vocabulary: logits of token j+1. Slot 0 reads zeros for
// the state that is not there.
class RecycleModule {
 public:
  struct Output {
    ConstMatrixView logits;  // [R, draft vocabulary], device
    // [R, D], device: the module's own output in the place of the target's hidden state, which the next slot
    // of a chain reads.
    ConstMatrixView hidden;
  };

  // `target` has been loaded from `target_checkpoint`, which is needed again for the rows of a reduced head.
  // Matrices are held in 8 bits, or in the blocks of their file. FAILED_PRECONDITION when it was made for
  // another target; otherwise as OpenDraftCheckpoint.
  static Result<std::unique_ptr<RecycleModule>> Load(const std::string& directory, const Decoder& target,
                                                     const Checkpoint& target_checkpoint,
                                                     const std::string& target_name, Backend& backend,
                                                     int max_positions);

  // Allocates the activations of one step. Called once before Forward.
  Status Reserve(int max_tokens, int max_logit_rows);
  // Where to put [T, D] hidden states for the next Forward, token by token; device.
  MatrixView HiddenInput(int num_tokens);
  // Views live until the next call. Engine thread only.
  Output Forward(const BatchView& batch, std::span<const KvLayer> kv);

  const DraftConfig& config() const { return config_; }
  std::span<const TokenId> head_tokens() const { return vocabulary_.head_tokens; }
  int num_head_rows() const { return vocabulary_.head->rows(); }  // columns of the logits
  int hidden_size() const { return config_.layers.hidden_size; }
  int num_layers() const { return layers_.num_layers(); }
  KvGeometry kv_geometry() const { return layers_.kv_geometry(); }
  std::size_t weight_bytes() const { return weight_bytes_; }  // own ones, and those of a reduced head
  std::int64_t num_parameters() const { return num_parameters_; }

 private:
  RecycleModule(DraftConfig config, Backend& backend, LayerStack layers)
      : config_(std::move(config)), backend_(backend), layers_(std::move(layers)) {}

  DraftConfig config_;
  Backend& backend_;
  LayerStack layers_;
  VocabularyWeights vocabulary_;
  std::unique_ptr<Weight> input_projection_;  // [D, D + E]
  const float* hidden_norm_ = nullptr;        // [D]
  const float* embedding_norm_ = nullptr;     // [E]
  const float* norm_ = nullptr;               // [D]
  std::vector<std::unique_ptr<DeviceMemory>> device_memory_;
  std::size_t weight_bytes_ = 0;
  std::int64_t num_parameters_ = 0;

  std::unique_ptr<DeviceMemory> activations_;
  int max_tokens_ = 0;
  int max_logit_rows_ = 0;
  float* hidden_input_ = nullptr;  // [T, D]
  float* embedded_ = nullptr;      // [T, E]
  float* joined_ = nullptr;        // [T, D + E]
  float* residual_ = nullptr;      // [T, D]
  float* gathered_ = nullptr;      // [R, D]
  float* output_ = nullptr;        // [R, D]
  float* logits_ = nullptr;        // [R, draft vocabulary]
};

}  // namespace reprise
