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

namespace reprise {

class Decoder {
 public:
  struct Output {
    ConstMatrixView logits;  // [R, vocab_size], device; row i belongs to batch.logit_rows[i]
    ConstMatrixView hidden;  // [R, hidden_size], device: after the final norm, what the head reads
  };

  // Reads and packs every tensor. Rope tables cover `max_positions`. Errors name the tensor.
  static Result<std::unique_ptr<Decoder>> Load(const Checkpoint& checkpoint, const ModelConfig& config,
                                               Backend& backend, int max_positions);

  // Allocates the activations of one step. Called once before Forward. RESOURCE_EXHAUSTED with the size.
  Status Reserve(int max_tokens, int max_logit_rows);

  // Computes the step's tokens, writes their keys and values to `kv` (one entry a layer), and the wanted
  // logits. Views live until the next call. Engine thread only.
  Output Forward(const BatchView& batch, std::span<const KvLayer> kv);

  const ModelConfig& config() const { return config_; }
  std::size_t weight_bytes() const { return weight_bytes_; }
  std::int64_t num_parameters() const { return num_parameters_; }
  // Shape of one layer of the cache, but for the number of blocks and the type.
  KvGeometry kv_geometry() const;

 private:
  struct Layer {
    const float* attention_norm = nullptr;  // [D]
    std::unique_ptr<Weight> qkv;            // [(Hq + 2 Hkv) * head_dim, D]
    const float* qkv_bias = nullptr;        // [(Hq + 2 Hkv) * head_dim] or nullptr
    const float* query_norm = nullptr;      // [head_dim] or nullptr
    const float* key_norm = nullptr;
    std::unique_ptr<Weight> attention_output;      // [D, Hq * head_dim]
    const float* attention_output_bias = nullptr;  // [D] or nullptr
    const float* mlp_norm = nullptr;               // [D]
    std::unique_ptr<Weight> gate_up;               // [2F, D]
    std::unique_ptr<Weight> down;                  // [D, F]
  };

  Decoder(const ModelConfig& config, Backend& backend) : config_(config), backend_(backend) {}
  void RunLayer(const Layer& layer, const BatchView& batch, const KvLayer& kv);

  friend class DecoderLoader;

  ModelConfig config_;
  Backend& backend_;
  std::size_t weight_bytes_ = 0;
  std::int64_t num_parameters_ = 0;

  std::unique_ptr<Weight> embedding_;  // [V, D]
  std::unique_ptr<Weight> head_;       // [V, D]; null: tied to the embedding
  const float* final_norm_ = nullptr;  // [D]
  std::vector<Layer> layers_;
  RopeTable rope_;
  std::vector<std::unique_ptr<DeviceMemory>> device_memory_;  // vectors: norms, biases, rope tables

  // Activations of one step; see Reserve.
  std::unique_ptr<DeviceMemory> activations_;
  std::unique_ptr<AttentionPlan> attention_plan_;
  int max_tokens_ = 0;
  int max_logit_rows_ = 0;
  float* residual_ = nullptr;   // [T, D]
  float* qkv_ = nullptr;        // [T, (Hq + 2 Hkv) * head_dim]
  float* attention_ = nullptr;  // [T, Hq * head_dim]
  float* gate_up_ = nullptr;    // [T, 2F]
  float* gathered_ = nullptr;   // [R, D]
  float* hidden_ = nullptr;     // [R, D]
  float* logits_ = nullptr;     // [R, V]
};

}  // namespace reprise
