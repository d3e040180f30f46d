#include "models/recycle_module.h"

#include <array>
#include <utility>

#include "base/check.h"
#include "models/activations.h"
#include "models/draft_checkpoint.h"
#include "models/fingerprint.h"

namespace reprise {
namespace {

// The format that a module's float matrices are held in: half the bytes of bf16, and close to exact. Those of
// a quantised file are held in the blocks that they have.
constexpr WeightType kHeldAs = WeightType::kQ8_0;

}  // namespace

Result<std::unique_ptr<RecycleModule>> RecycleModule::Load(const std::string& directory,
                                                           const Decoder& target,
                                                           const Checkpoint& target_checkpoint,
                                                           const std::string& target_name, Backend& backend,
                                                           int max_positions) {
  ASSIGN_OR_RETURN(DraftConfig config, LoadDraftConfig(directory, DraftClass::kRecycleModule));
  ASSIGN_OR_RETURN(const std::string sha256, BaseFingerprint(target_checkpoint, target.config()));
  RETURN_IF_ERROR(CheckMadeFor(directory, config, target.config(), target_name, sha256));
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint,
                   OpenDraftCheckpoint(directory, DraftClass::kRecycleModule));
  const int width = config.layers.hidden_size;
  WeightLoader loader(*checkpoint, backend, kHeldAs);
  const int embedding = config.embedding_size;
  ASSIGN_OR_RETURN(LayerStack layers, LayerStack::Load(loader, config.layers, backend, max_positions));
  std::unique_ptr<RecycleModule> module(new RecycleModule(std::move(config), backend, std::move(layers)));
  ASSIGN_OR_RETURN(module->hidden_norm_, loader.LoadVector(TensorRole::kRecycleHiddenNorm, width, 0));
  ASSIGN_OR_RETURN(module->embedding_norm_,
                   loader.LoadVector(TensorRole::kRecycleEmbeddingNorm, embedding, 0));
  ASSIGN_OR_RETURN(module->norm_, loader.LoadVector(TensorRole::kFinalNorm, width, 0));
  const std::array projection{MatrixSource{TensorRole::kRecycleInputProjection, width}};
  ASSIGN_OR_RETURN(module->input_projection_, loader.LoadMatrix(projection, width + embedding, 0));
  module->weight_bytes_ = loader.weight_bytes();
  module->num_parameters_ = loader.num_parameters();
  module->device_memory_ = loader.TakeMemory();

  module->vocabulary_ = target.vocabulary();
  ASSIGN_OR_RETURN(std::vector<TokenId> tokens, LoadDraftVocabulary(*checkpoint, module->config_));
  if (!tokens.empty()) {
    ASSIGN_OR_RETURN(module->vocabulary_.head,
                     LoadHeadRows(target_checkpoint, target.config(), backend, tokens));
    module->weight_bytes_ += module->vocabulary_.head->bytes();
    module->vocabulary_.head_tokens = std::move(tokens);
  }
  return module;
}

Status RecycleModule::Reserve(int max_tokens, int max_logit_rows) {
  const auto width = static_cast<std::size_t>(hidden_size());
  const auto embedding = static_cast<std::size_t>(config_.embedding_size);
  const auto tokens = static_cast<std::size_t>(max_tokens);
  const auto rows = static_cast<std::size_t>(max_logit_rows);
  const std::array areas = {
      ActivationArea{&hidden_input_, tokens * width},
      ActivationArea{&embedded_, tokens * embedding},
      ActivationArea{&joined_, tokens * (width + embedding)},
      ActivationArea{&residual_, tokens * width},
      ActivationArea{&gathered_, rows * width},
      ActivationArea{&output_, rows * width},
      ActivationArea{&logits_, rows * static_cast<std::size_t>(vocabulary_.head->rows())}};
  ASSIGN_OR_RETURN(activations_, AllocateActivations(backend_, areas, "the recycle module's activations"));
  max_tokens_ = max_tokens;
  max_logit_rows_ = max_logit_rows;
  return layers_.Reserve(max_tokens);
}

MatrixView RecycleModule::HiddenInput(int num_tokens) {
  REPRISE_CHECK(num_tokens <= max_tokens_);
  return {hidden_input_, num_tokens, hidden_size(), hidden_size()};
}

RecycleModule::Output RecycleModule::Forward(const BatchView& batch, std::span<const KvLayer> kv) {
  REPRISE_CHECK(batch.num_tokens() <= max_tokens_ && batch.num_logit_rows() <= max_logit_rows_);
  const int tokens = batch.num_tokens();
  const int rows = batch.num_logit_rows();
  const int width = hidden_size();
  const int embedding = config_.embedding_size;
  const int joined = width + embedding;
  const float epsilon = config_.layers.norm_epsilon;
  const MatrixView embedded{embedded_, tokens, embedding, embedding};
  const MatrixView residual{residual_, tokens, width, width};
  backend_.Embed(batch, *vocabulary_.embedding, embedded);
  backend_.RmsNorm(HiddenInput(tokens), {hidden_norm_, epsilon, width}, {joined_, tokens, width, joined});
  backend_.RmsNorm(embedded, {embedding_norm_, epsilon, embedding},
                   {joined_ + width, tokens, embedding, joined});
  backend_.MatMul(
      {.x = {joined_, tokens, joined, joined}, .weight = input_projection_.get(), .out = residual});
  layers_.Forward(batch, kv, residual);

  const int scores = vocabulary_.head->rows();
  const MatrixView gathered{gathered_, rows, width, width};
  const MatrixView output{output_, rows, width, width};
  const MatrixView logits{logits_, rows, scores, scores};
  if (rows > 0) {
    backend_.GatherRows(residual, batch.logit_rows, gathered);
    backend_.RmsNorm(gathered, {norm_, epsilon, width}, output);
    backend_.MatMul({.x = output, .weight = vocabulary_.head.get(), .out = logits});
  }
  return {logits, config_.hidden_kind == HiddenKind::kPostNorm ? output : gathered};
}

}  // namespace reprise
