#include "models/layer_stack.h"

#include <array>
#include <cmath>
#include <string>

#include "base/check.h"
#include "models/activations.h"

namespace reprise {

KvGeometry LayerStack::kv_geometry() const {
  KvGeometry geometry;
  geometry.num_kv_heads = config_.num_kv_heads;
  geometry.head_dim = config_.head_dim;
  return geometry;
}

Status LayerStack::Reserve(int max_tokens) {
  const auto tokens = static_cast<std::size_t>(max_tokens);
  const std::size_t query_width = static_cast<std::size_t>(config_.num_heads) * config_.head_dim;
  const std::size_t kv_width = static_cast<std::size_t>(config_.num_kv_heads) * config_.head_dim;
  const std::array areas = {
      ActivationArea{&qkv_, tokens * (query_width + 2 * kv_width)},
      ActivationArea{&attention_, tokens * query_width},
      ActivationArea{&gate_up_, tokens * 2 * static_cast<std::size_t>(config_.intermediate_size)}};
  ASSIGN_OR_RETURN(activations_,
                   AllocateActivations(*backend_, areas,
                                       "activations for " + std::to_string(max_tokens) + " tokens a step"));
  attention_plan_ = backend_->NewAttentionPlan({config_.num_heads, config_.num_kv_heads, config_.head_dim});
  return OkStatus();
}

void LayerStack::Forward(const BatchView& batch, std::span<const KvLayer> kv, MatrixView residual) {
  REPRISE_CHECK(kv.size() == layers_.size() && residual.rows == batch.num_tokens());
  backend_->PlanAttention(batch, kv.front().geometry, attention_plan_.get());
  for (std::size_t i = 0; i < layers_.size(); ++i) RunLayer(layers_[i], batch, kv[i], residual);
}

void LayerStack::RunLayer(const Layer& layer, const BatchView& batch, const KvLayer& kv,
                          MatrixView residual) {
  const int tokens = batch.num_tokens();
  const int width = config_.hidden_size;
  const int query_width = config_.num_heads * config_.head_dim;
  const int qkv_width = query_width + 2 * config_.num_kv_heads * config_.head_dim;
  const int mlp_width = config_.intermediate_size;
  const MatrixView qkv{qkv_, tokens, qkv_width, qkv_width};
  const MatrixView attention{attention_, tokens, query_width, query_width};
  const MatrixView gate_up{gate_up_, tokens, 2 * mlp_width, 2 * mlp_width};

  backend_->MatMul({.x = residual,
                    .weight = layer.qkv.get(),
                    .out = qkv,
                    .prologue = Prologue::kRmsNorm,
                    .norm = {layer.attention_norm, config_.norm_epsilon, width},
                    .bias = layer.qkv_bias});
  backend_->RopeAndStoreKv({.qkv = qkv,
                            .num_heads = config_.num_heads,
                            .rope = rope_,
                            .query_norm = layer.query_norm,
                            .key_norm = layer.key_norm,
                            .norm_epsilon = config_.norm_epsilon,
                            .batch = &batch,
                            .kv = kv});
  backend_->Attention({.queries = {qkv_, tokens, query_width, qkv_width},
                       .out = attention,
                       .kv = kv,
                       .batch = &batch,
                       .plan = attention_plan_.get(),
                       .scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim)),
                       .sliding_window = config_.sliding_window});
  backend_->MatMul({.x = attention,
                    .weight = layer.attention_output.get(),
                    .out = residual,
                    .bias = layer.attention_output_bias,
                    .accumulate = true});
  backend_->MatMul({.x = residual,
                    .weight = layer.gate_up.get(),
                    .out = gate_up,
                    .prologue = Prologue::kRmsNorm,
                    .norm = {layer.mlp_norm, config_.norm_epsilon, width}});
  backend_->MatMul({.x = gate_up,
                    .weight = layer.down.get(),
                    .out = residual,
                    .prologue = Prologue::kSiluMul,
                    .accumulate = true});
}

}  // namespace reprise
