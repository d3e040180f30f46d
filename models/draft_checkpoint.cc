#include "models/draft_checkpoint.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>

#include "models/formats/gguf.h"
#include "models/formats/quoted.h"

namespace reprise {
namespace {

namespace fs = std::filesystem;

// An ordinary model's GGUF file has other rows of q and k, so one must not pass for a draft's.
Result<std::unique_ptr<Checkpoint>> OpenGguf(const std::string& path, DraftClass draft_class) {
  ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, GgufFile::Open(path));
  const GgufValue* value = file->FindMetadata("general.architecture");
  const std::string* name = value != nullptr ? value->AsString() : nullptr;
  if (name == nullptr || *name != DraftArchitecture(draft_class)) {
    return InvalidArgument(path + ": metadata key 'general.architecture' is " +
                           (name != nullptr ? Quoted(*name) : "missing or not a string") + ", expected " +
                           Quoted(DraftArchitecture(draft_class)) + ", which `reprise quantize` writes");
  }
  return std::unique_ptr<Checkpoint>(std::move(file));
}

Status CheckFinite(const TensorInfo& tensor) {
  constexpr std::int64_t kChunk = 1 << 14;  // whole blocks of every type
  std::vector<float> values(static_cast<std::size_t>(std::min(kChunk, tensor.elements())));
  const std::byte* data = tensor.data;
  for (std::int64_t done = 0; done < tensor.elements(); done += kChunk) {
    const std::int64_t count = std::min(kChunk, tensor.elements() - done);
    Dequantize(tensor.type, data, count, values.data());
    data += *WeightBytes(tensor.type, count);
    const auto end = values.begin() + count;
    if (!std::all_of(values.begin(), end, [](float value) { return std::isfinite(value); })) {
      return DataLoss("tensor " + Quoted(tensor.name) + " has an element that is not a finite number");
    }
  }
  return OkStatus();
}

}  // namespace

std::string_view DraftArchitecture(DraftClass draft_class) {
  return draft_class == DraftClass::kRecycleModule ? "reprise_recycle" : "reprise_draft";
}

Result<std::unique_ptr<Checkpoint>> OpenDraftCheckpoint(const std::string& directory,
                                                        DraftClass draft_class) {
  const std::string gguf = (fs::path(directory) / kDraftGguf).string();
  std::error_code ignored;
  const bool quantized = fs::exists(gguf, ignored);
  const bool floats = HasSafetensors(directory);
  if (quantized && floats) {
    return InvalidArgument(directory + " has both safetensors and " + std::string(kDraftGguf) +
                           ", and may have only one of them");
  }
  if (!quantized && !floats) {
    return NotFound(directory + " has neither model.safetensors nor " + std::string(kDraftGguf));
  }
  auto opened = quantized ? OpenGguf(gguf, draft_class) : Checkpoint::Open(directory);
  RETURN_IF_ERROR(opened.status());
  for (const TensorInfo& tensor : (*opened)->tensors()) {
    const Status finite = CheckFinite(tensor);
    if (!finite.ok()) return Status(finite.code(), directory + ": " + finite.message());
  }
  return opened;
}

std::vector<ModelTensor> DraftTensors(const DraftConfig& config, DraftClass draft_class) {
  std::vector<ModelTensor> tensors;
  const std::int64_t width = config.layers.hidden_size, embedding = config.embedding_size;
  const bool module = draft_class == DraftClass::kRecycleModule;
  if (module) {
    tensors = {{TensorRole::kRecycleHiddenNorm, 0, {width}},
               {TensorRole::kRecycleEmbeddingNorm, 0, {embedding}},
               {TensorRole::kRecycleInputProjection, 0, {width, width + embedding}}};
  }
  for (ModelTensor& tensor : ModelTensors(config.layers)) {
    const bool borrowed = tensor.role == TensorRole::kTokenEmbedding || tensor.role == TensorRole::kHead;
    if (!borrowed && !IsRotation(tensor.role)) tensors.push_back(std::move(tensor));
  }
  return tensors;
}

Result<std::vector<TokenId>> LoadDraftVocabulary(const Checkpoint& checkpoint, const DraftConfig& config) {
  std::vector<TokenId> tokens;
  if (config.draft_vocab_size == config.layers.vocab_size) return tokens;
  ASSIGN_OR_RETURN(const std::vector<std::int64_t> ids, checkpoint.Integers("d2t"));
  if (ids.size() != static_cast<std::size_t>(config.draft_vocab_size)) {
    return DataLoss("tensor 'd2t' has " + std::to_string(ids.size()) + " entries, but draft_vocab_size is " +
                    std::to_string(config.draft_vocab_size));
  }
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= config.layers.vocab_size) {
      return DataLoss("tensor 'd2t' names token " + std::to_string(id) + " outside the vocabulary of " +
                      std::to_string(config.layers.vocab_size));
    }
    if (!tokens.empty() && id <= tokens.back()) return DataLoss("tensor 'd2t' does not ascend");
    tokens.push_back(static_cast<TokenId>(id));
  }
  return tokens;
}

}  // namespace reprise
