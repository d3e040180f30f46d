#include "models/family.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "models/draft_checkpoint.h"
#include "models/fingerprint.h"
#include "models/formats/json_file.h"
#include "models/json_fields.h"

namespace reprise {
namespace {

namespace fs = std::filesystem;

// Drafts are small and their own size is what they cost: held in 8 bits, unless their file is quantised.
constexpr WeightType kDraftHeldAs = WeightType::kQ8_0;

int Positions(const ModelConfig& config, int max_positions) {
  return max_positions > 0 ? std::min(max_positions, config.max_position) : config.max_position;
}

Status CheckSameTokenizer(const std::string& path, const Tokenizer& draft, const Model& target) {
  const Tokenizer& own = target.tokenizer();
  if (draft.vocab_size() != own.vocab_size()) {
    return FailedPrecondition(path + ": the draft's tokenizer has " + std::to_string(draft.vocab_size()) +
                              " tokens, that of " + target.name() + " has " +
                              std::to_string(own.vocab_size()));
  }
  for (TokenId id = 0; id < own.vocab_size(); ++id) {
    if (draft.TokenText(id) == own.TokenText(id)) continue;
    return FailedPrecondition(path + ": the draft's token " + std::to_string(id) + " is '" +
                              std::string(draft.TokenText(id)) + "', in " + target.name() + " it is '" +
                              std::string(own.TokenText(id)) + "'; both need the same tokenizer");
  }
  return OkStatus();
}

Result<std::unique_ptr<Decoder>> LoadSharedDraft(const std::string& path, const Model& target,
                                                 const Checkpoint& target_checkpoint, Backend& backend,
                                                 int max_positions) {
  ASSIGN_OR_RETURN(const DraftConfig config, LoadDraftConfig(path, DraftClass::kSharedDraft));
  ASSIGN_OR_RETURN(const std::string sha256, BaseFingerprint(target_checkpoint, target.config()));
  RETURN_IF_ERROR(CheckMadeFor(path, config, target.config(), target.name(), sha256));
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint,
                   OpenDraftCheckpoint(path, DraftClass::kSharedDraft));
  VocabularyWeights vocabulary = target.decoder().vocabulary();
  ASSIGN_OR_RETURN(vocabulary.head_tokens, LoadDraftVocabulary(*checkpoint, config));
  if (!vocabulary.head_tokens.empty()) {
    ASSIGN_OR_RETURN(vocabulary.head,
                     LoadHeadRows(target_checkpoint, target.config(), backend, vocabulary.head_tokens));
  }
  return Decoder::LoadLayers(*checkpoint, config.layers, backend, max_positions, std::move(vocabulary),
                             kDraftHeldAs);
}

Result<std::unique_ptr<Decoder>> LoadDraft(const std::string& path, const Model& target,
                                           const Checkpoint& target_checkpoint, Backend& backend,
                                           int max_positions) {
  if (DraftClassOf(path) == DraftClass::kSharedDraft) {
    return LoadSharedDraft(path, target, target_checkpoint, backend, max_positions);
  }
  ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(path));
  ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, Tokenizer::Load(path));
  RETURN_IF_ERROR(CheckSameTokenizer(path, *tokenizer, target));
  if (config.vocab_size > target.config().vocab_size) {
    return FailedPrecondition(path + ": the draft's vocabulary of " + std::to_string(config.vocab_size) +
                              " exceeds the " + std::to_string(target.config().vocab_size) + " of " +
                              target.name());
  }
  if (config.max_position < max_positions) {
    return FailedPrecondition(path + ": the draft's context of " + std::to_string(config.max_position) +
                              " tokens is shorter than the " + std::to_string(max_positions) +
                              " to be served; lower --max-model-len");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::Open(path));
  return Decoder::Load(*checkpoint, config, backend, max_positions);
}

}  // namespace

Result<FamilyPaths> ResolveFamily(FamilyPaths paths) {
  const fs::path directory(paths.target);
  const fs::path file = directory / "family.json";
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return paths;
  ASSIGN_OR_RETURN(const nlohmann::json object, ReadJsonObject(file.string()));
  const JsonFields fields(object, file.string());
  const auto path = [&](std::string_view name) -> Result<std::string> {
    ASSIGN_OR_RETURN(const std::optional<std::string> relative, fields.String(name));
    if (!relative) return std::string();
    return (directory / *relative).lexically_normal().string();
  };
  ASSIGN_OR_RETURN(paths.target, path("target"));
  if (paths.target.empty()) return fields.Wrong("target", "the path of a model, relative to the file");
  if (paths.recycle.empty()) {
    ASSIGN_OR_RETURN(paths.recycle, path("recycle"));
  }
  if (paths.draft.empty()) {
    ASSIGN_OR_RETURN(paths.draft, path("draft"));
  }
  return paths;
}

Result<ModelFamily> ModelFamily::Load(const FamilyPaths& paths, Backend& backend, int max_positions) {
  ModelFamily family;
  ASSIGN_OR_RETURN(family.target, Model::Load(paths.target, backend, max_positions));
  if (paths.recycle.empty() && paths.draft.empty()) return family;
  const Model& target = *family.target;
  const int positions = Positions(target.config(), max_positions);
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::Open(paths.target));
  if (!paths.recycle.empty()) {
    ASSIGN_OR_RETURN(family.recycle, RecycleModule::Load(paths.recycle, target.decoder(), *checkpoint,
                                                         target.name(), backend, positions));
  }
  if (!paths.draft.empty()) {
    ASSIGN_OR_RETURN(family.draft, LoadDraft(paths.draft, target, *checkpoint, backend, positions));
  }
  checkpoint->ReleasePages();
  return family;
}

}  // namespace reprise
