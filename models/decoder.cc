#include "models/decoder.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/check.h"
#include "base/text.h"
#include "models/decoder_loader.h"

namespace reprise {

Result<std::unique_ptr<Decoder>> Decoder::Load(const Checkpoint& checkpoint, const ModelConfig& config,
                                               Backend& backend, int max_positions) {
  RETURN_IF_ERROR(config.Validate());
  std::unique_ptr<Decoder> decoder(new Decoder(config, backend));
  RETURN_IF_ERROR(DecoderLoader(checkpoint, *decoder).Load(max_positions));
  return decoder;
}

KvGeometry Decoder::kv_geometry() const {
  KvGeometry geometry;
  geometry.num_kv_heads = config_.num_kv_heads;
  geometry.head_dim = config_.head_dim;
  return geometry;
}

Status Decoder::Reserve(int max_tokens, int max_logit_rows) {
  const std::size_t tokens = static_cast<std::size_t>(max_tokens);
  const std::size_t rows = static_cast<std::size_t>(max_logit_rows);
  const std::size_t width = static_cast<std::size_t>(config_.hidden_size);
  const std::size_t query_width = static_cast<std::size_t>(config_.num_heads) * config_.head_dim;
  const std::size_t qkv_width =
      query_width + 2 * static_cast<std::size_t>(config_.num_kv_heads) * config_.head_dim;
  struct Area {
    float** pointer;
    std::size_t floats;
  };
  const Area areas[] = {{&residual_, tokens * width},
                        {&qkv_, tokens * qkv_width},
                        {&attention_, tokens * query_width},
                        {&gate_up_, tokens * 2 * static_cast<std::size_t>(config_.intermediate_size)},
                        {&gathered_, rows * width},
                        {&hidden_, rows * width},
                        {&logits_, rows * static_cast<std::size_t>(config_.vocab_size)}};
  constexpr std::size_t kAlign = 16;  // floats in 64 bytes
  std::size_t total = 0;
  for (const Area& area : areas) total += (area.floats + kAlign - 1) / kAlign * kAlign;
  auto memory = backend_.Allocate(total * sizeof(float));
  if (!memory.ok()) {
    return ResourceExhausted("cannot allocate " + FormatBytes(total * sizeof(float)) +
                             " of activations for " + std::to_string(max_tokens) +
                             " tokens a step: " + memory.status().message());
  }
  activations_ = std::move(memory).value();
  auto* next = static_cast<float*>(activations_->data());
  for (const Area& area : areas) {
    *area.pointer = next;
    next += (area.floats + kAlign - 1) / kAlign * kAlign;
  }
  attention_plan_ = backend_.NewAttentionPlan({config_.num_heads, config_.num_kv_heads, config_.head_dim});
  max_tokens_ = max_tokens;
  max_logit_rows_ = max_logit_rows;
  return OkStatus();
}

Decoder::Output Decoder::Forward(const BatchView& batch, std::span<const KvLayer> kv) {
  REPRISE_CHECK(batch.num_tokens() <= max_tokens_ && batch.num_logit_rows() <= max_logit_rows_);
  REPRISE_CHECK(kv.size() == layers_.size());
  const int width = config_.hidden_size;
  const MatrixView residual{residual_, batch.num_tokens(), width, width};
  backend_.Embed(batch.token_ids, *embedding_, residual);
  backend_.PlanAttention(batch, kv.front().geometry, attention_plan_.get());
  for (std::size_t i = 0; i < layers_.size(); ++i) RunLayer(layers_[i], batch, kv[i]);

  const int rows = batch.num_logit_rows();
  const MatrixView gathered{gathered_, rows, width, width};
  const MatrixView hidden{hidden_, rows, width, width};
  const MatrixView logits{logits_, rows, config_.vocab_size, config_.vocab_size};
  if (rows > 0) {
    backend_.GatherRows(residual, batch.logit_rows, gathered);
    backend_.RmsNorm(gathered, {final_norm_, config_.norm_epsilon, width}, hidden);
    MatMulArgs head;
    head.x = hidden;
    head.weight = head_ != nullptr ? head_.get() : embedding_.get();
    head.out = logits;
    backend_.MatMul(head);
  }
  return {logits, hidden};
}

void Decoder::RunLayer(const Layer& layer, const BatchView& batch, const KvLayer& kv) {
  const int tokens = batch.num_tokens();
  const int width = config_.hidden_size;
  const int query_width = config_.num_heads * config_.head_dim;
  const int qkv_width = query_width + 2 * config_.num_kv_heads * config_.head_dim;
  const int mlp_width = config_.intermediate_size;
  const MatrixView residual{residual_, tokens, width, width};
  const MatrixView qkv{qkv_, tokens, qkv_width, qkv_width};
  const MatrixView attention{attention_, tokens, query_width, query_width};
  const MatrixView gate_up{gate_up_, tokens, 2 * mlp_width, 2 * mlp_width};

  backend_.MatMul({.x = residual,
                   .weight = layer.qkv.get(),
                   .out = qkv,
                   .prologue = Prologue::kRmsNorm,
                   .norm = {layer.attention_norm, config_.norm_epsilon, width},
                   .bias = layer.qkv_bias});
  backend_.RopeAndStoreKv({.qkv = qkv,
                           .num_heads = config_.num_heads,
                           .rope = rope_,
                           .query_norm = layer.query_norm,
                           .key_norm = layer.key_norm,
                           .norm_epsilon = config_.norm_epsilon,
                           .batch = &batch,
                           .kv = kv});
  backend_.Attention({.queries = {qkv_, tokens, query_width, qkv_width},
                      .out = attention,
                      .kv = kv,
                      .batch = &batch,
                      .plan = attention_plan_.get(),
                      .scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim)),
                      .sliding_window = config_.sliding_window});
  backend_.MatMul({.x = attention,
                   .weight = layer.attention_output.get(),
                   .out = residual,
                   .bias = layer.attention_output_bias,
                   .accumulate = true});
  backend_.MatMul({.x = residual,
                   .weight = layer.gate_up.get(),
                   .out = gate_up,
                   .prologue = Prologue::kRmsNorm,
                   .norm = {layer.mlp_norm, config_.norm_epsilon, width}});
  backend_.MatMul({.x = gate_up,
                   .weight = layer.down.get(),
                   .out = residual,
                   .prologue = Prologue::kSiluMul,
                   .accumulate = true});
}

}  // namespace reprise
