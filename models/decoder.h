// The decoder-only transformer: packed weights and one ragged forward pass.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "models/config.h"
#include "models/formats/checkpoint.h"
#include "models/layer_stack.h"

namespace reprise {

// The first and the last matrix of a language model. Drafts and recycle modules borrow their target's.
struct VocabularyWeights {
  std::shared_ptr<const Weight> embedding;  // [V, D]
  std::shared_ptr<const Weight> head;       // [V, D], the embedding itself when they are tied; or
                                            // [head_tokens.size(), D]
  std::vector<TokenId> head_tokens;         // row r of the head scores token head_tokens[r]; empty: token r
};

class Decoder {
 public:
  struct Output {
    ConstMatrixView logits;    // [R, head rows], device; row i belongs to batch.logit_rows[i]
    ConstMatrixView hidden;    // [T, hidden_size], device: after the final norm, what the head reads
    ConstMatrixView residual;  // [T, hidden_size], device: before the final norm
  };

  // Reads and packs every tensor. Rope tables cover `max_positions`. Errors name the tensor.
  static Result<std::unique_ptr<Decoder>> Load(const Checkpoint& checkpoint, const ModelConfig& config,
                                               Backend& backend, int max_positions);
  // Only the layers and the final norm are in the checkpoint. Matrices stored as floats are held as
  // `quantize_to`.
  static Result<std::unique_ptr<Decoder>> LoadLayers(const Checkpoint& checkpoint, const ModelConfig& config,
                                                     Backend& backend, int max_positions,
                                                     VocabularyWeights vocabulary, WeightType quantize_to);

  // Allocates the activations of one step. Called once before Forward. RESOURCE_EXHAUSTED with the size.
  Status Reserve(int max_tokens, int max_logit_rows);

  // Computes the step's tokens, writes their keys and values to `kv` (one entry a layer), and the wanted
  // logits. Views live until the next call. Engine thread only.
  Output Forward(const BatchView& batch, std::span<const KvLayer> kv);

  const ModelConfig& config() const { return config_; }
  const VocabularyWeights& vocabulary() const { return vocabulary_; }
  const float* final_norm() const { return final_norm_; }  // [hidden_size], device; nullptr in sliced models
  // Of what this decoder owns: borrowed matrices do not count.
  std::size_t weight_bytes() const { return weight_bytes_; }
  // Those a step reads whole, in its order, the head last. An embedding that is no head is not among them.
  std::vector<const Weight*> step_weights() const;
  std::int64_t num_parameters() const { return num_parameters_; }
  // Shape of one layer of the cache, but for the number of blocks and the type.
  KvGeometry kv_geometry() const { return layers_.kv_geometry(); }
  int num_layers() const { return layers_.num_layers(); }

 private:
  Decoder(const ModelConfig& config, Backend& backend, LayerStack layers)
      : config_(config), backend_(backend), layers_(std::move(layers)) {}
  static Result<std::unique_ptr<Decoder>> Finish(WeightLoader& loader, const ModelConfig& config,
                                                 Backend& backend, int max_positions,
                                                 VocabularyWeights vocabulary);
  Status LoadVectors(WeightLoader& loader);
  void Embed(const BatchView& batch, MatrixView residual);
  // Normalises the last residual for the head.
  void FinalNorm(MatrixView residual, MatrixView hidden);

  ModelConfig config_;
  Backend& backend_;
  std::size_t weight_bytes_ = 0;
  std::int64_t num_parameters_ = 0;

  VocabularyWeights vocabulary_;
  LayerStack layers_;
  const float* final_norm_ = nullptr;                         // [D]; nullptr in sliced models
  const float* final_norm_bias_ = nullptr;                    // [D] of a layer norm
  const float* positions_ = nullptr;                          // [position_rows, embedding width], or nullptr
  const float* head_bias_ = nullptr;                          // [V] or nullptr
  std::vector<std::unique_ptr<DeviceMemory>> device_memory_;  // vectors: norms, biases, rope tables

  // Activations of one step; see Reserve.
  std::unique_ptr<DeviceMemory> activations_;
  int max_tokens_ = 0;
  int max_logit_rows_ = 0;
  std::vector<int> position_rows_;  // [T]: of the table of learned positions
  float* residual_ = nullptr;       // [T, D]
  float* hidden_ = nullptr;         // [T, D]
  float* gathered_ = nullptr;       // [R, D]
  float* logits_ = nullptr;         // [R, head rows]
};

// Packs the rows of the checkpoint's head that score `tokens` (each below config.vocab_size).
Result<std::shared_ptr<const Weight>> LoadHeadRows(const Checkpoint& checkpoint, const ModelConfig& config,
                                                   Backend& backend, std::span<const TokenId> tokens);

}  // namespace reprise
