#include "compress/layer_runner.h"

#include <array>
#include <cmath>
#include <initializer_list>
#include <numeric>
#include <string>

#include "models/activations.h"
#include "models/rope_table.h"

namespace reprise::compress {
namespace {

constexpr int kBlockSize = 16;

int QueryWidth(const ModelConfig& config) {
  return config.num_heads * config.head_dim;
}
int QkvWidth(const ModelConfig& config) {
  return (config.num_heads + 2 * config.num_kv_heads) * config.head_dim;
}
int InnerWidth(const ModelConfig& config) {
  return config.intermediate_size * (config.gated() ? 2 : 1);
}

MatrixView Rows(float* data, int rows, int columns) {
  return {data, rows, columns, columns};
}

const float* DataOrNull(const std::vector<float>& values) {
  return values.empty() ? nullptr : values.data();
}

// Biases one after another; empty when there are none.
std::vector<float> StackedBias(std::initializer_list<const Linear*> parts) {
  std::vector<float> bias;
  for (const Linear* part : parts) bias.insert(bias.end(), part->bias.begin(), part->bias.end());
  return bias;
}

Prologue ActivationPrologue(Activation activation) {
  switch (activation) {
    case Activation::kSiluMul:
      return Prologue::kSiluMul;
    case Activation::kRelu:
      return Prologue::kRelu;
    case Activation::kGeluTanh:
      return Prologue::kGeluTanh;
  }
  return Prologue::kNone;
}

}  // namespace

Result<std::unique_ptr<LayerRunner>> LayerRunner::Create(const ModelConfig& dense, Backend& backend,
                                                         int length) {
  std::unique_ptr<LayerRunner> runner(new LayerRunner(dense, backend, length));
  RETURN_IF_ERROR(runner->Allocate());
  return runner;
}

// The sequence is alone in a cache of its own: position i is slot i.
LayerRunner::LayerRunner(const ModelConfig& dense, Backend& backend, int length)
    : config_(dense), backend_(backend), length_(length) {
  const auto tokens = static_cast<std::size_t>(length);
  token_ids_.resize(tokens);
  positions_.resize(tokens);
  std::iota(positions_.begin(), positions_.end(), 0);
  blocks_.resize((tokens + kBlockSize - 1) / kBlockSize);
  std::iota(blocks_.begin(), blocks_.end(), 0);
  query_start_[1] = length;
  block_start_[1] = static_cast<int>(blocks_.size());
  batch_ = {token_ids_, positions_, positions_, query_start_, context_len_, block_start_, blocks_, {}};
  if (config_.rotary_dim == 0) return;
  rope_table_ = MakeRopeTable(config_.rope, config_.rotary_dim, length);
  rope_ = {rope_table_.data(), rope_table_.data() + rope_table_.size() / 2, length, config_.rotary_dim};
}

Status LayerRunner::Allocate() {
  const auto tokens = static_cast<std::size_t>(length_);
  const std::array areas = {ActivationArea{&sliced_rows_, tokens * config_.hidden_size},
                            ActivationArea{&qkv_rows_, tokens * QkvWidth(config_)},
                            ActivationArea{&attention_rows_, tokens * QueryWidth(config_)},
                            ActivationArea{&inner_rows_, tokens * InnerWidth(config_)}};
  ASSIGN_OR_RETURN(activations_, AllocateActivations(
                                     backend_, areas,
                                     "activations for sequences of " + std::to_string(length_) + " tokens"));
  kv_.geometry = {static_cast<int>(blocks_.size()), kBlockSize, config_.num_kv_heads, config_.head_dim,
                  KvType::kF32};
  const std::size_t bytes = kv_.geometry.block_bytes() * blocks_.size();
  ASSIGN_OR_RETURN(keys_, backend_.Allocate(bytes));
  ASSIGN_OR_RETURN(values_, backend_.Allocate(bytes));
  kv_.keys = static_cast<std::byte*>(keys_->data());
  kv_.values = static_cast<std::byte*>(values_->data());
  plan_ = backend_.NewAttentionPlan({config_.num_heads, config_.num_kv_heads, config_.head_dim});
  backend_.PlanAttention(batch_, kv_.geometry, plan_.get());
  return backend_.Synchronize();
}

Result<std::unique_ptr<Weight>> LayerRunner::Pack(const Matrix& matrix) {
  ASSIGN_OR_RETURN(const StoredMatrix stored, Store(matrix, WeightType::kF32, "a rotated matrix"));
  const WeightSource source = stored.source();
  return backend_.Pack({&source, 1});
}

Status LayerRunner::SetBasis(const KeptBasis& basis) {
  kept_ = basis.kept;
  const Matrix columns = basis.rotation->FirstColumns(basis.kept);
  ASSIGN_OR_RETURN(enter_, Pack(columns.Transposed()));
  ASSIGN_OR_RETURN(leave_, Pack(columns));
  return OkStatus();
}

Status LayerRunner::SetAttention(const KeptBasis& basis, std::span<const StoredMatrix> qkv,
                                 const FusedLayer& layer) {
  RETURN_IF_ERROR(SetBasis(basis));
  std::vector<WeightSource> sources;
  for (const StoredMatrix& matrix : qkv) sources.push_back(matrix.source());
  ASSIGN_OR_RETURN(qkv_, backend_.Pack(sources));
  ASSIGN_OR_RETURN(output_, Pack(layer.output.weight));
  qkv_bias_ = StackedBias({&layer.query, &layer.key, &layer.value});
  output_bias_ = StackedBias({&layer.output});
  query_norm_ = layer.query_norm;
  key_norm_ = layer.key_norm;
  return OkStatus();
}

Status LayerRunner::SetMlp(const KeptBasis& basis, std::span<const StoredMatrix> gate_up,
                           const FusedLayer& layer) {
  RETURN_IF_ERROR(SetBasis(basis));
  std::vector<WeightSource> sources;
  for (const StoredMatrix& matrix : gate_up) sources.push_back(matrix.source());
  ASSIGN_OR_RETURN(gate_up_, backend_.Pack(sources));
  ASSIGN_OR_RETURN(down_, Pack(layer.down.weight));
  up_bias_ = StackedBias({&layer.up});
  down_bias_ = StackedBias({&layer.down});
  return OkStatus();
}

void LayerRunner::Rotate(ConstMatrixView signal) {
  backend_.MatMul({.x = signal, .weight = enter_.get(), .out = Rows(sliced_rows_, length_, kept_)});
}

// A product of the rows in the kept basis, normalised: no norm has weights any more.
MatMulArgs LayerRunner::Normed(const Weight& weight, const std::vector<float>& bias, MatrixView out) {
  return {.x = Rows(sliced_rows_, length_, kept_),
          .weight = &weight,
          .out = out,
          .prologue = Prologue::kRmsNorm,
          .norm = {nullptr, config_.norm_epsilon, config_.hidden_size},
          .bias = DataOrNull(bias)};
}

void LayerRunner::RunAttention() {
  const MatrixView qkv = Rows(qkv_rows_, length_, QkvWidth(config_));
  backend_.MatMul(Normed(*qkv_, qkv_bias_, qkv));
  backend_.RopeAndStoreKv({.qkv = qkv,
                           .num_heads = config_.num_heads,
                           .rope = rope_,
                           .query_norm = DataOrNull(query_norm_),
                           .key_norm = DataOrNull(key_norm_),
                           .norm_epsilon = config_.norm_epsilon,
                           .batch = &batch_,
                           .kv = kv_});
  backend_.Attention({.queries = {qkv_rows_, length_, QueryWidth(config_), QkvWidth(config_)},
                      .out = Rows(attention_rows_, length_, QueryWidth(config_)),
                      .kv = kv_,
                      .batch = &batch_,
                      .plan = plan_.get(),
                      .scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim)),
                      .sliding_window = config_.sliding_window});
}

void LayerRunner::RunInner() {
  backend_.MatMul(Normed(*gate_up_, up_bias_, Rows(inner_rows_, length_, InnerWidth(config_))));
}

MatMulArgs LayerRunner::Down(MatrixView out) {
  return {.x = Rows(inner_rows_, length_, InnerWidth(config_)),
          .weight = down_.get(),
          .out = out,
          .prologue = ActivationPrologue(config_.activation),
          .bias = DataOrNull(down_bias_),
          .second = {Rows(sliced_rows_, length_, kept_), leave_.get()}};
}

Status LayerRunner::Attend(MatrixView signal) {
  Rotate(signal);
  RunAttention();
  backend_.MatMul({.x = Rows(attention_rows_, length_, QueryWidth(config_)),
                   .weight = output_.get(),
                   .out = signal,
                   .bias = DataOrNull(output_bias_),
                   .second = {Rows(sliced_rows_, length_, kept_), leave_.get()}});
  return backend_.Synchronize();
}

Status LayerRunner::Mlp(MatrixView signal) {
  Rotate(signal);
  RunInner();
  backend_.MatMul(Down(signal));
  return backend_.Synchronize();
}

Status LayerRunner::Parallel(MatrixView signal) {
  Rotate(signal);
  RunAttention();
  RunInner();
  backend_.MatMul(Down(signal));
  backend_.MatMul({.x = Rows(attention_rows_, length_, QueryWidth(config_)),
                   .weight = output_.get(),
                   .out = signal,
                   .bias = DataOrNull(output_bias_),
                   .accumulate = true});
  return backend_.Synchronize();
}

}  // namespace reprise::compress
