#include "models/decoder.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"
#include "models/activations.h"

namespace reprise {

Result<std::unique_ptr<Decoder>> Decoder::Load(const Checkpoint& checkpoint, const ModelConfig& config,
                                               Backend& backend, int max_positions) {
  RETURN_IF_ERROR(config.Validate());
  WeightLoader loader(checkpoint, backend);
  VocabularyWeights vocabulary;
  const std::array embedding{MatrixSource{TensorRole::kTokenEmbedding, config.vocab_size}};
  ASSIGN_OR_RETURN(vocabulary.embedding, loader.LoadMatrix(embedding, config.embedding_width(), 0));
  if (config.tie_embeddings) {
    vocabulary.head = vocabulary.embedding;
  } else {
    const std::array head{MatrixSource{TensorRole::kHead, config.vocab_size}};
    ASSIGN_OR_RETURN(vocabulary.head, loader.LoadMatrix(head, config.hidden_size, 0));
  }
  return Finish(loader, config, backend, max_positions, std::move(vocabulary));
}

Result<std::unique_ptr<Decoder>> Decoder::LoadLayers(const Checkpoint& checkpoint, const ModelConfig& config,
                                                     Backend& backend, int max_positions,
                                                     VocabularyWeights vocabulary, WeightType quantize_to) {
  RETURN_IF_ERROR(config.Validate());
  WeightLoader loader(checkpoint, backend, quantize_to);
  return Finish(loader, config, backend, max_positions, std::move(vocabulary));
}

Result<std::unique_ptr<Decoder>> Decoder::Finish(WeightLoader& loader, const ModelConfig& config,
                                                 Backend& backend, int max_positions,
                                                 VocabularyWeights vocabulary) {
  ASSIGN_OR_RETURN(LayerStack layers, LayerStack::Load(loader, config, backend, max_positions));
  std::unique_ptr<Decoder> decoder(new Decoder(config, backend, std::move(layers)));
  decoder->vocabulary_ = std::move(vocabulary);
  RETURN_IF_ERROR(decoder->LoadVectors(loader));
  decoder->weight_bytes_ = loader.weight_bytes();
  decoder->num_parameters_ = loader.num_parameters();
  decoder->device_memory_ = loader.TakeMemory();
  return decoder;
}

Status Decoder::LoadVectors(WeightLoader& loader) {
  const int width = config_.hidden_size;
  if (!config_.sliced()) {
    ASSIGN_OR_RETURN(final_norm_, loader.LoadVector(TensorRole::kFinalNorm, width, 0));
    if (config_.norm == NormKind::kLayer) {
      ASSIGN_OR_RETURN(final_norm_bias_, loader.LoadVector(TensorRole::kFinalNormBias, width, 0));
    }
  }
  if (config_.head_bias) {
    ASSIGN_OR_RETURN(head_bias_, loader.LoadVector(TensorRole::kHeadBias, config_.vocab_size, 0));
  }
  if (config_.learned_positions) {
    ASSIGN_OR_RETURN(positions_, loader.LoadTable(TensorRole::kPositionEmbedding, config_.position_rows(),
                                                  config_.embedding_width()));
  }
  return OkStatus();
}

Status Decoder::Reserve(int max_tokens, int max_logit_rows) {
  const auto tokens = static_cast<std::size_t>(max_tokens);
  const auto rows = static_cast<std::size_t>(max_logit_rows);
  const auto width = static_cast<std::size_t>(config_.hidden_size);
  const std::array areas = {
      ActivationArea{&residual_, tokens * width}, ActivationArea{&hidden_, tokens * width},
      ActivationArea{&gathered_, rows * width},
      ActivationArea{&logits_, rows * static_cast<std::size_t>(vocabulary_.head->rows())}};
  ASSIGN_OR_RETURN(activations_,
                   AllocateActivations(backend_, areas,
                                       "activations for " + std::to_string(max_tokens) + " tokens a step"));
  max_tokens_ = max_tokens;
  max_logit_rows_ = max_logit_rows;
  position_rows_.resize(tokens);
  return layers_.Reserve(max_tokens);
}

std::vector<const Weight*> Decoder::step_weights() const {
  std::vector<const Weight*> weights = layers_.weights();
  weights.push_back(vocabulary_.head.get());
  return weights;
}

void Decoder::Embed(const BatchView& batch, MatrixView residual) {
  backend_.Embed(batch, *vocabulary_.embedding, residual);
  if (positions_ == nullptr) return;
  const std::span<int> rows = std::span(position_rows_).first(batch.positions.size());
  std::transform(batch.positions.begin(), batch.positions.end(), rows.begin(),
                 [](int position) { return position + ModelConfig::kPositionOffset; });
  const int width = residual.columns;
  backend_.AddRows({positions_, config_.position_rows(), width, width}, rows, residual);
}

void Decoder::FinalNorm(MatrixView residual, MatrixView hidden) {
  if (config_.norm == NormKind::kRms || config_.sliced()) {
    backend_.RmsNorm(residual, {final_norm_, config_.norm_epsilon, config_.norm_divisor()}, hidden);
  } else {
    backend_.LayerNorm(residual, {final_norm_, final_norm_bias_, config_.norm_epsilon}, hidden);
  }
}

Decoder::Output Decoder::Forward(const BatchView& batch, std::span<const KvLayer> kv) {
  REPRISE_CHECK(batch.num_tokens() <= max_tokens_ && batch.num_logit_rows() <= max_logit_rows_);
  const int tokens = batch.num_tokens();
  const int rows = batch.num_logit_rows();
  const int width = config_.hidden_size;
  const int scores = vocabulary_.head->rows();
  const MatrixView residual{residual_, tokens, width, width};
  const MatrixView hidden{hidden_, tokens, width, width};
  const MatrixView logits{logits_, rows, scores, scores};
  const int embedding_width = config_.embedding_width();
  Embed(batch, {residual_, tokens, embedding_width, embedding_width});
  layers_.Forward(batch, kv, residual);
  FinalNorm(residual, hidden);
  if (rows > 0) {
    MatMulArgs head{.x = hidden, .weight = vocabulary_.head.get(), .out = logits, .bias = head_bias_};
    if (rows < tokens) {
      const MatrixView gathered{gathered_, rows, width, width};
      backend_.GatherRows(hidden, batch.logit_rows, gathered);
      head.x = gathered;
    }
    backend_.MatMul(head);
  }
  return {logits, hidden, residual};
}

Result<std::shared_ptr<const Weight>> LoadHeadRows(const Checkpoint& checkpoint, const ModelConfig& config,
                                                   Backend& backend, std::span<const TokenId> tokens) {
  if (config.head_bias) return Unimplemented("a part of a head with a bias cannot be borrowed");
  const TensorRole role = config.tie_embeddings ? TensorRole::kTokenEmbedding : TensorRole::kHead;
  ASSIGN_OR_RETURN(const TensorInfo* tensor, FindTensor(checkpoint, role));
  const std::array<std::int64_t, 2> shape{config.vocab_size, config.hidden_size};
  RETURN_IF_ERROR(CheckShape(*tensor, shape));
  const std::size_t row_bytes = *WeightBytes(tensor->type, config.hidden_size);
  std::vector<std::byte> rows(row_bytes * tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    std::memcpy(rows.data() + i * row_bytes, tensor->data + static_cast<std::size_t>(tokens[i]) * row_bytes,
                row_bytes);
  }
  const std::array sources{
      WeightSource{tensor->type, rows.data(), static_cast<int>(tokens.size()), config.hidden_size, {}}};
  ASSIGN_OR_RETURN(std::unique_ptr<Weight> weight, backend.Pack(sources));
  return std::shared_ptr<const Weight>(std::move(weight));
}

}  // namespace reprise
