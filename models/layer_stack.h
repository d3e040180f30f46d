// Transformer layers with the activations of one step: what decoders and recycle modules have in common.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "models/config.h"
#include "models/weight_loader.h"

namespace reprise {

class LayerStack {
 public:
  // Loads config.num_layers layers, and rope tables for `max_positions`. `backend` outlives the stack.
  static Result<LayerStack> Load(WeightLoader& loader, const ModelConfig& config, Backend& backend,
                                 int max_positions);

  // Allocates the activations of one step. Called once before Forward. RESOURCE_EXHAUSTED with the size.
  Status Reserve(int max_tokens);

  // Runs every layer over `residual` [T, D] in place; keys and values go to `kv`, one entry a layer. In a
  // sliced model the first layer reads the first embedding_width() columns.
  void Forward(const BatchView& batch, std::span<const KvLayer> kv, MatrixView residual);

  int num_layers() const { return static_cast<int>(layers_.size()); }
  // The matrices of all layers, in the order in which a step reads them.
  std::vector<const Weight*> weights() const;
  // Shape of one layer of the cache, but for the number of blocks and the type.
  KvGeometry kv_geometry() const;

 private:
  struct Layer {
    LayerWidths widths;
    const float* attention_norm = nullptr;  // [D]; nullptr when sliced, as are all norms below
    const float* attention_norm_bias = nullptr;
    std::unique_ptr<Weight> qkv;        // [(Hq + 2 Hkv) * head_dim, D]
    const float* qkv_bias = nullptr;    // [(Hq + 2 Hkv) * head_dim] or nullptr
    const float* query_norm = nullptr;  // [head_dim] or nullptr
    const float* key_norm = nullptr;
    std::unique_ptr<Weight> attention_output;      // [D, Hq * head_dim]
    const float* attention_output_bias = nullptr;  // [D] or nullptr
    std::unique_ptr<Weight> attention_shortcut;    // [mid, in], parallel [out, in]; nullptr unless sliced
    const float* mlp_norm = nullptr;               // [D]; nullptr in a parallel block
    const float* mlp_norm_bias = nullptr;
    std::unique_ptr<Weight> gate_up;       // [2F, D], or up alone [F, D]
    const float* up_bias = nullptr;        // [F]
    std::unique_ptr<Weight> down;          // [D, F]
    const float* down_bias = nullptr;      // [D]
    std::unique_ptr<Weight> mlp_shortcut;  // [out, mid]; nullptr unless sliced and sequential
  };

  LayerStack(const ModelConfig& config, Backend& backend) : config_(config), backend_(&backend) {}
  Status LoadAttention(WeightLoader& loader, int index, std::span<const int> query_order,
                       std::span<const int> key_order);
  Status LoadMlp(WeightLoader& loader, int index);
  // One layer: `in` is what its norms read, `mid` the residual between attention and MLP, `out` what it
  // leaves. Unless sliced all three are one view.
  void RunLayer(const Layer& layer, const BatchView& batch, const KvLayer& kv, MatrixView in, MatrixView mid,
                MatrixView out);
  void RunAttention(const Layer& layer, const BatchView& batch, const KvLayer& kv, MatrixView in);
  void RunMlp(const Layer& layer, MatrixView in, MatrixView out, SecondProduct shortcut);
  MatMulArgs NormedProduct(MatrixView in, const float* norm, const float* norm_bias) const;

  ModelConfig config_;
  Backend* backend_;
  std::vector<Layer> layers_;
  RopeTable rope_;

  // Activations of one step; see Reserve.
  std::unique_ptr<DeviceMemory> activations_;
  std::unique_ptr<AttentionPlan> attention_plan_;
  float* qkv_ = nullptr;        // [T, (Hq + 2 Hkv) * head_dim]
  float* attention_ = nullptr;  // [T, Hq * head_dim]
  float* gate_up_ = nullptr;    // [T, 2F] or [T, F]
  float* sliced_ = nullptr;     // [T, D]: the residual alternates between this and the caller's
  std::vector<int> rows_;       // 0, 1, ... : all rows of a step
};

}  // namespace reprise
