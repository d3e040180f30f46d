#include "models/model.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/log.h"
#include "models/formats/checkpoint.h"

namespace reprise {
namespace {

std::string NameFromPath(const std::string& path) {
  std::filesystem::path clean = std::filesystem::path(path).lexically_normal();
  if (clean.filename().empty()) clean = clean.parent_path();  // a trailing slash
  const std::string name = clean.filename().string();
  constexpr std::string_view kSuffix = ".gguf";
  return name.ends_with(kSuffix) ? name.substr(0, name.size() - kSuffix.size()) : name;
}

void AddUnique(std::vector<TokenId>* ids, std::span<const TokenId> more) {
  for (TokenId id : more) {
    if (std::find(ids->begin(), ids->end(), id) == ids->end()) ids->push_back(id);
  }
}

}  // namespace

Result<std::unique_ptr<Model>> Model::Load(const std::string& path, Backend& backend, int max_positions) {
  std::unique_ptr<Model> model(new Model());
  model->path_ = path;
  model->name_ = NameFromPath(path);
  ASSIGN_OR_RETURN(model->config_, LoadModelConfig(path));
  ASSIGN_OR_RETURN(model->defaults_, LoadGenerationDefaults(path));
  ASSIGN_OR_RETURN(model->tokenizer_, Tokenizer::Load(path));
  const ModelConfig& config = model->config_;
  if (model->tokenizer_->vocab_size() > config.vocab_size) {
    return InvalidArgument(path + ": the tokenizer has " + std::to_string(model->tokenizer_->vocab_size()) +
                           " tokens, the model's vocabulary only " + std::to_string(config.vocab_size));
  }
  if (const std::string& source = model->tokenizer_->chat_template(); !source.empty()) {
    if (auto parsed = ChatTemplate::Parse(source); parsed.ok()) {
      model->chat_template_ = std::move(parsed).value();
    } else {
      // Completions still work; a chat request will say why it does not.
      LogWarning("the chat template cannot be used", {{"reason", parsed.status().message()}});
    }
  }
  AddUnique(&model->eos_token_ids_, config.eos_token_ids);
  AddUnique(&model->eos_token_ids_, model->defaults_.eos_token_ids);
  AddUnique(&model->eos_token_ids_, model->tokenizer_->eos());
  std::erase_if(model->eos_token_ids_, [&](TokenId id) { return id < 0 || id >= config.vocab_size; });

  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::Open(path));
  const int positions =
      max_positions > 0 ? std::min(max_positions, config.max_position) : config.max_position;
  ASSIGN_OR_RETURN(model->decoder_, Decoder::Load(*checkpoint, config, backend, positions));
  checkpoint->ReleasePages();
  return model;
}

}  // namespace reprise
