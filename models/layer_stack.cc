#include "models/layer_stack.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "base/check.h"
#include "models/activations.h"

namespace reprise {

KvGeometry LayerStack::kv_geometry() const {
  KvGeometry geometry;
  geometry.num_kv_heads = config_.num_kv_heads;
  geometry.head_dim = config_.head_dim;
  return geometry;
}

std::vector<const Weight*> LayerStack::weights() const {
  std::vector<const Weight*> weights;
  for (const Layer& layer : layers_) {
    for (const auto* weight : {&layer.qkv, &layer.attention_output, &layer.attention_shortcut, &layer.gate_up,
                               &layer.down, &layer.mlp_shortcut}) {
      if (*weight != nullptr) weights.push_back(weight->get());
    }
  }
  return weights;
}

Status LayerStack::Reserve(int max_tokens) {
  const auto tokens = static_cast<std::size_t>(max_tokens);
  const std::size_t query_width = static_cast<std::size_t>(config_.num_heads) * config_.head_dim;
  const std::size_t kv_width = static_cast<std::size_t>(config_.num_kv_heads) * config_.head_dim;
  const std::size_t mlp_width =
      static_cast<std::size_t>(config_.intermediate_size) * (config_.gated() ? 2 : 1);
  std::size_t residual_width = 0;
  if (config_.sliced()) {
    rows_.resize(tokens);
    std::iota(rows_.begin(), rows_.end(), 0);
    for (const LayerWidths& layer : config_.widths) {
      residual_width = std::max<std::size_t>(residual_width, std::max(layer.mid, layer.out));
    }
  }
  const std::array areas = {ActivationArea{&qkv_, tokens * (query_width + 2 * kv_width)},
                            ActivationArea{&attention_, tokens * query_width},
                            ActivationArea{&gate_up_, tokens * mlp_width},
                            ActivationArea{&sliced_, tokens * residual_width}};
  ASSIGN_OR_RETURN(activations_,
                   AllocateActivations(*backend_, areas,
                                       "activations for " + std::to_string(max_tokens) + " tokens a step"));
  attention_plan_ = backend_->NewAttentionPlan({config_.num_heads, config_.num_kv_heads, config_.head_dim});
  return OkStatus();
}

void LayerStack::Forward(const BatchView& batch, std::span<const KvLayer> kv, MatrixView residual) {
  REPRISE_CHECK(kv.size() == layers_.size() && residual.rows == batch.num_tokens());
  backend_->PlanAttention(batch, kv.front().geometry, attention_plan_.get());
  if (!config_.sliced()) {
    for (std::size_t i = 0; i < layers_.size(); ++i)
      RunLayer(layers_[i], batch, kv[i], residual, residual, residual);
    return;
  }
  const int tokens = residual.rows;
  float* current = residual.data;
  float* other = sliced_;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const LayerWidths& widths = layers_[i].widths;
    const MatrixView in{current, tokens, widths.in, widths.in};
    // A sequential layer passes through the other buffer and comes back; a parallel one stays there.
    const bool parallel = config_.parallel_block;
    const MatrixView mid{other, tokens, widths.mid, widths.mid};
    const MatrixView out{parallel ? other : current, tokens, widths.out, widths.out};
    RunLayer(layers_[i], batch, kv[i], in, mid, out);
    if (parallel) std::swap(current, other);
  }
  if (current == residual.data) return;
  const MatrixView last{current, tokens, residual.columns, residual.columns};
  backend_->GatherRows(last, std::span(rows_).first(static_cast<std::size_t>(tokens)), residual);
}

// A product of the normalised rows of `in`.
MatMulArgs LayerStack::NormedProduct(MatrixView in, const float* norm, const float* norm_bias) const {
  MatMulArgs args;
  args.x = in;
  // Slicing turns every norm into a weightless RMS norm (SliceGPT, section 3.2).
  if (config_.norm == NormKind::kRms || config_.sliced()) {
    args.prologue = Prologue::kRmsNorm;
    args.norm = {norm, config_.norm_epsilon, config_.norm_divisor()};
  } else {
    args.prologue = Prologue::kLayerNorm;
    args.layer_norm = {norm, norm_bias, config_.norm_epsilon};
  }
  return args;
}

void LayerStack::RunLayer(const Layer& layer, const BatchView& batch, const KvLayer& kv, MatrixView in,
                          MatrixView mid, MatrixView out) {
  const int query_width = config_.num_heads * config_.head_dim;
  RunAttention(layer, batch, kv, in);
  MatMulArgs attention_output{.x = {attention_, in.rows, query_width, query_width},
                              .weight = layer.attention_output.get(),
                              .out = mid,
                              .bias = layer.attention_output_bias,
                              .accumulate = true};
  if (config_.parallel_block) {
    // What the MLP reads must not have changed, so it goes first; the shortcut carries the residual along.
    RunMlp(layer, in, out, {in, layer.attention_shortcut.get()});
    attention_output.out = out;
    backend_->MatMul(attention_output);
    return;
  }
  if (config_.sliced()) {
    attention_output.second = {in, layer.attention_shortcut.get()};
    attention_output.accumulate = false;
  }
  backend_->MatMul(attention_output);
  RunMlp(layer, mid, out, {mid, layer.mlp_shortcut.get()});
}

// Attention of the normalised rows of `in`, into attention_.
void LayerStack::RunAttention(const Layer& layer, const BatchView& batch, const KvLayer& kv, MatrixView in) {
  const int tokens = batch.num_tokens();
  const int query_width = config_.num_heads * config_.head_dim;
  const int qkv_width = query_width + 2 * config_.num_kv_heads * config_.head_dim;
  const MatrixView qkv{qkv_, tokens, qkv_width, qkv_width};
  MatMulArgs projection = NormedProduct(in, layer.attention_norm, layer.attention_norm_bias);
  projection.weight = layer.qkv.get();
  projection.out = qkv;
  projection.bias = layer.qkv_bias;
  backend_->MatMul(projection);
  backend_->RopeAndStoreKv({.qkv = qkv,
                            .num_heads = config_.num_heads,
                            .rope = rope_,
                            .query_norm = layer.query_norm,
                            .key_norm = layer.key_norm,
                            .norm_epsilon = config_.norm_epsilon,
                            .batch = &batch,
                            .kv = kv});
  backend_->Attention({.queries = {qkv_, tokens, query_width, qkv_width},
                       .out = {attention_, tokens, query_width, query_width},
                       .kv = kv,
                       .batch = &batch,
                       .plan = attention_plan_.get(),
                       .scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim)),
                       .sliding_window = config_.sliding_window});
}

// out += MLP of the normalised rows of `in`; with a shortcut, out = MLP + shortcut.
void LayerStack::RunMlp(const Layer& layer, MatrixView in, MatrixView out, SecondProduct shortcut) {
  const int mlp_width = config_.intermediate_size * (config_.gated() ? 2 : 1);
  const MatrixView inner{gate_up_, in.rows, mlp_width, mlp_width};
  MatMulArgs up = config_.parallel_block ? NormedProduct(in, layer.attention_norm, layer.attention_norm_bias)
                                         : NormedProduct(in, layer.mlp_norm, layer.mlp_norm_bias);
  up.weight = layer.gate_up.get();
  up.out = inner;
  up.bias = layer.up_bias;
  backend_->MatMul(up);
  backend_->MatMul({.x = inner,
                    .weight = layer.down.get(),
                    .out = out,
                    .prologue = config_.activation == Activation::kSiluMul ? Prologue::kSiluMul
                                : config_.activation == Activation::kRelu  ? Prologue::kRelu
                                                                           : Prologue::kGeluTanh,
                    .bias = layer.down_bias,
                    .accumulate = shortcut.weight == nullptr,
                    .second = shortcut});
}

}  // namespace reprise
