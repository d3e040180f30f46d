#include "benches/step_model.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "benches/random_weights.h"

namespace reprise::bench {
namespace {

constexpr int kBlockSize = 16;

const std::array<StepShape, 4> kShapes = {{
    {"1.3b", 24, 2048, 16, 16, 128, 5504, 32000},
    {"7b", 32, 4096, 32, 32, 128, 11008, 32000},
    {"8b", 32, 4096, 32, 8, 128, 14336, 128256},
    {"13b", 40, 5120, 40, 40, 128, 13824, 32000},
}};

}  // namespace

const StepShape* FindStepShape(const std::string& name) {
  for (const StepShape& shape : kShapes) {
    if (shape.name == name) return &shape;
  }
  return nullptr;
}

Result<std::unique_ptr<StepModel>> StepModel::Create(Backend& backend, const StepShape& shape,
                                                     WeightType type, int max_sequences, int max_tokens,
                                                     int max_context) {
  std::unique_ptr<StepModel> model(new StepModel(backend, shape));
  RETURN_IF_ERROR(model->Load(type));
  RETURN_IF_ERROR(model->Reserve(max_sequences, max_tokens, max_context));
  return model;
}

Result<std::unique_ptr<Weight>> StepModel::Pack(const std::vector<std::byte>& blocks, WeightType type,
                                                int rows, int columns) {
  const WeightSource source{type, blocks.data(), rows, columns, {}};
  ASSIGN_OR_RETURN(std::unique_ptr<Weight> weight, backend_.Pack({&source, 1}));
  weight_bytes_ += weight->bytes();
  return weight;
}

Status StepModel::Load(WeightType type) {
  // The same random numbers in every matrix: they are read from different memory all the same.
  const std::int64_t largest =
      static_cast<std::int64_t>(std::max(shape_.vocabulary, 2 * shape_.ffn)) * shape_.width;
  const std::vector<std::byte> blocks = RandomBlocks(type, largest);
  const int width = shape_.width;
  for (int l = 0; l < shape_.layers; ++l) {
    Layer layer;
    ASSIGN_OR_RETURN(layer.qkv, Pack(blocks, type, qkv_width(), width));
    ASSIGN_OR_RETURN(layer.attention_output, Pack(blocks, type, width, shape_.num_heads * shape_.head_dim));
    ASSIGN_OR_RETURN(layer.gate_up, Pack(blocks, type, 2 * shape_.ffn, width));
    ASSIGN_OR_RETURN(layer.down, Pack(blocks, type, width, shape_.ffn));
    layers_.push_back(std::move(layer));
  }
  ASSIGN_OR_RETURN(head_, Pack(blocks, type, shape_.vocabulary, width));
  const std::size_t read = weight_bytes_;
  ASSIGN_OR_RETURN(embedding_, Pack(blocks, type, shape_.vocabulary, width));
  weight_bytes_ = read;  // of the embedding a step reads a few rows
  return backend_.Synchronize();
}

Status StepModel::Reserve(int max_sequences, int max_tokens, int max_context) {
  const auto floats = [&](std::size_t count, float** out) -> Status {
    ASSIGN_OR_RETURN(std::unique_ptr<DeviceMemory> memory, backend_.Allocate(count * sizeof(float)));
    *out = static_cast<float*>(memory->data());
    memory_.push_back(std::move(memory));
    return OkStatus();
  };
  const auto tokens = static_cast<std::size_t>(max_tokens);
  const std::size_t table = static_cast<std::size_t>(max_context) * (shape_.head_dim / 2);
  const std::vector<float> ones(std::max<std::size_t>(table, static_cast<std::size_t>(shape_.width)), 1.0f);
  RETURN_IF_ERROR(floats(ones.size(), &ones_));
  backend_.Upload(ones_, ones.data(), ones.size() * sizeof(float));
  RETURN_IF_ERROR(floats(tokens * shape_.width, &residual_));
  RETURN_IF_ERROR(floats(tokens * qkv_width(), &qkv_));
  RETURN_IF_ERROR(floats(tokens * shape_.num_heads * shape_.head_dim, &attention_));
  RETURN_IF_ERROR(floats(tokens * 2 * shape_.ffn, &gate_up_));
  RETURN_IF_ERROR(floats(static_cast<std::size_t>(max_sequences) * shape_.width, &hidden_));
  RETURN_IF_ERROR(floats(static_cast<std::size_t>(max_sequences) * shape_.vocabulary, &logits_));
  blocks_per_sequence_ = (max_context - 1) / kBlockSize + 1;
  KvLayer kv;
  kv.geometry = {blocks_per_sequence_ * max_sequences, kBlockSize, shape_.num_kv_heads, shape_.head_dim,
                 KvType::kBF16};
  const std::size_t bytes = kv.geometry.block_bytes() * kv.geometry.num_blocks;
  for (int l = 0; l < shape_.layers; ++l) {
    for (std::byte** target : {&kv.keys, &kv.values}) {
      ASSIGN_OR_RETURN(std::unique_ptr<DeviceMemory> memory, backend_.Allocate(bytes));
      *target = static_cast<std::byte*>(memory->data());
      memory_.push_back(std::move(memory));
    }
    kv_.push_back(kv);
  }
  plan_ = backend_.NewAttentionPlan({shape_.num_heads, shape_.num_kv_heads, shape_.head_dim});
  RETURN_IF_ERROR(
      backend_.Reserve({max_tokens, max_sequences, max_sequences, shape_.vocabulary, max_context, kBlockSize})
          .status());
  return backend_.Synchronize();
}

Status StepModel::Run(int sequences, int tokens, int context) {
  std::vector<TokenId> ids;
  std::vector<int> positions, slots, query_start = {0}, context_len, block_start = {0}, logit_rows;
  std::vector<BlockId> block_ids;
  for (int s = 0; s < sequences; ++s) {
    const int first_block = s * blocks_per_sequence_;
    for (int i = 0; i < tokens; ++i) {
      ids.push_back((s * 131 + i * 17 + context) % shape_.vocabulary);
      positions.push_back(context + i);
      slots.push_back(first_block * kBlockSize + context + i);
    }
    for (int b = 0; b <= (context + tokens - 1) / kBlockSize; ++b) block_ids.push_back(first_block + b);
    query_start.push_back(static_cast<int>(ids.size()));
    context_len.push_back(context);
    block_start.push_back(static_cast<int>(block_ids.size()));
    logit_rows.push_back(static_cast<int>(ids.size()) - 1);
  }
  const BatchView batch{ids, positions, slots, query_start, context_len, block_start, block_ids, logit_rows};
  const MatrixView residual{residual_, batch.num_tokens(), shape_.width, shape_.width};
  backend_.Embed(batch, *embedding_, residual);
  backend_.PlanAttention(batch, kv_.front().geometry, plan_.get());
  for (std::size_t l = 0; l < layers_.size(); ++l) RunLayer(layers_[l], kv_[l], batch);
  const MatrixView hidden{hidden_, sequences, shape_.width, shape_.width};
  backend_.GatherRows(residual, batch.logit_rows, hidden);
  backend_.MatMul({.x = hidden,
                   .weight = head_.get(),
                   .out = {logits_, sequences, shape_.vocabulary, shape_.vocabulary},
                   .prologue = Prologue::kRmsNorm,
                   .norm = {ones_, 1e-5f, shape_.width}});
  return backend_.Synchronize();
}

void StepModel::RunLayer(const Layer& layer, const KvLayer& kv, const BatchView& batch) {
  const int tokens = batch.num_tokens();
  const int width = shape_.width;
  const int query_width = shape_.num_heads * shape_.head_dim;
  const MatrixView residual{residual_, tokens, width, width};
  const MatrixView qkv{qkv_, tokens, qkv_width(), qkv_width()};
  const MatrixView attention{attention_, tokens, query_width, query_width};
  const MatrixView gate_up{gate_up_, tokens, 2 * shape_.ffn, 2 * shape_.ffn};
  const RmsNormSpec norm{ones_, 1e-5f, width};
  backend_.MatMul(
      {.x = residual, .weight = layer.qkv.get(), .out = qkv, .prologue = Prologue::kRmsNorm, .norm = norm});
  backend_.RopeAndStoreKv({.qkv = qkv,
                           .num_heads = shape_.num_heads,
                           .rope = {ones_, ones_, blocks_per_sequence_ * kBlockSize},
                           .batch = &batch,
                           .kv = kv});
  backend_.Attention({.queries = {qkv_, tokens, query_width, qkv_width()},
                      .out = attention,
                      .kv = kv,
                      .batch = &batch,
                      .plan = plan_.get(),
                      .scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim))});
  backend_.MatMul(
      {.x = attention, .weight = layer.attention_output.get(), .out = residual, .accumulate = true});
  backend_.MatMul({.x = residual,
                   .weight = layer.gate_up.get(),
                   .out = gate_up,
                   .prologue = Prologue::kRmsNorm,
                   .norm = norm});
  backend_.MatMul({.x = gate_up,
                   .weight = layer.down.get(),
                   .out = residual,
                   .prologue = Prologue::kSiluMul,
                   .accumulate = true});
}

double StepModel::Operations(int sequences, int tokens) const {
  const double width = shape_.width;
  const double query_width = static_cast<double>(shape_.num_heads) * shape_.head_dim;
  const double layer = width * qkv_width() + width * query_width + 3.0 * width * shape_.ffn;
  return 2.0 * sequences * (tokens * layer * shape_.layers + width * shape_.vocabulary);
}

std::size_t StepModel::KvBytes(int sequences, int tokens, int context) const {
  return std::size_t{4} * shape_.layers * sequences * (context + tokens) * shape_.num_kv_heads *
         shape_.head_dim;
}

}  // namespace reprise::bench
