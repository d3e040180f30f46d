// A decoder's operations on random weights, straight on a backend: what a step costs when nothing else
// happens.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace reprise::bench {

struct StepShape {
  std::string name;
  int layers;
  int width;
  int num_heads;
  int num_kv_heads;
  int head_dim;
  int ffn;
  int vocabulary;
};

// "1.3b", "7b", "8b", "13b": the Llama family's shapes. nullptr when there is none of that name.
const StepShape* FindStepShape(const std::string& name);

class StepModel {
 public:
  // For steps of up to max_tokens tokens in max_sequences sequences of up to max_context tokens.
  // RESOURCE_EXHAUSTED when that does not fit.
  static Result<std::unique_ptr<StepModel>> Create(Backend& backend, const StepShape& shape, WeightType type,
                                                   int max_sequences, int max_tokens, int max_context);

  // One step: `tokens` more tokens in each of `sequences` sequences that have `context`; logits for the last
  // token of each. Waits for the end.
  Status Run(int sequences, int tokens, int context);

  std::size_t weight_bytes() const { return weight_bytes_; }  // read in a step of few rows
  // Multiplications and additions of the products of one step.
  double Operations(int sequences, int tokens) const;
  // Keys and values that a step reads.
  std::size_t KvBytes(int sequences, int tokens, int context) const;

 private:
  struct Layer {
    std::unique_ptr<Weight> qkv, attention_output, gate_up, down;
  };

  StepModel(Backend& backend, const StepShape& shape) : backend_(backend), shape_(shape) {}
  Status Load(WeightType type);
  Status Reserve(int max_sequences, int max_tokens, int max_context);
  Result<std::unique_ptr<Weight>> Pack(const std::vector<std::byte>& blocks, WeightType type, int rows,
                                       int columns);
  void RunLayer(const Layer& layer, const KvLayer& kv, const BatchView& batch);
  int qkv_width() const { return (shape_.num_heads + 2 * shape_.num_kv_heads) * shape_.head_dim; }

  Backend& backend_;
  const StepShape shape_;
  std::size_t weight_bytes_ = 0;
  std::vector<Layer> layers_;
  std::unique_ptr<Weight> embedding_, head_;
  std::unique_ptr<AttentionPlan> plan_;
  std::vector<std::unique_ptr<DeviceMemory>> memory_;
  std::vector<KvLayer> kv_;
  int blocks_per_sequence_ = 0;
  float* ones_ = nullptr;  // norms, and the tables of rotation
  float* residual_ = nullptr;
  float* qkv_ = nullptr;
  float* attention_ = nullptr;
  float* gate_up_ = nullptr;
  float* hidden_ = nullptr;
  float* logits_ = nullptr;
};

}  // namespace reprise::bench
