#include "models/draft_config.h"

#include <filesystem>
#include <optional>

#include <nlohmann/json.hpp>

#include "models/config_loaders.h"
#include "models/formats/json_file.h"
#include "models/json_fields.h"

namespace reprise {
namespace {

std::string ConfigPath(const std::string& directory) {
  return (std::filesystem::path(directory) / "config.json").string();
}

std::string_view ClassName(DraftClass draft_class) {
  return draft_class == DraftClass::kRecycleModule ? "RepriseRecycleModule" : "RepriseDraft";
}

Status CheckClass(const JsonFields& fields, DraftClass expected) {
  ASSIGN_OR_RETURN(const std::vector<std::string> classes, fields.Strings("architectures"));
  if (classes.empty() || classes.front() != ClassName(expected)) {
    return fields.Wrong("architectures", "[\"" + std::string(ClassName(expected)) + "\"]");
  }
  return OkStatus();
}

Result<HiddenKind> ReadHiddenKind(const JsonFields& fields) {
  ASSIGN_OR_RETURN(const std::optional<std::string> kind, fields.String("hidden_kind"));
  if (kind == "post_norm") return HiddenKind::kPostNorm;
  if (kind == "pre_norm") return HiddenKind::kPreNorm;
  return fields.Wrong("hidden_kind", "post_norm or pre_norm");
}

Status CheckShared(const JsonFields& fields) {
  ASSIGN_OR_RETURN(const std::vector<std::string> shared, fields.Strings("shared"));
  if (shared != std::vector<std::string>{"embedding", "head"}) {
    return fields.Wrong("shared", "[\"embedding\", \"head\"]");
  }
  return OkStatus();
}

}  // namespace

std::optional<DraftClass> DraftClassOf(const std::string& directory) {
  const std::string path = ConfigPath(directory);
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  const auto object = ReadJsonObject(path);
  if (!object.ok()) return std::nullopt;
  for (const DraftClass draft_class : {DraftClass::kRecycleModule, DraftClass::kSharedDraft}) {
    if (CheckClass(JsonFields(*object, path), draft_class).ok()) return draft_class;
  }
  return std::nullopt;
}

Result<DraftConfig> LoadDraftConfig(const std::string& directory, DraftClass expected) {
  const std::string path = ConfigPath(directory);
  ASSIGN_OR_RETURN(nlohmann::json object, ReadJsonObject(path));
  const JsonFields fields(object, path);
  RETURN_IF_ERROR(CheckClass(fields, expected));
  // Positions are the target's affair.
  object.emplace("max_position_embeddings", 1 << 24);
  DraftConfig config;
  Architecture architecture = Architecture::kLlama;
  if (expected == DraftClass::kRecycleModule) {
    ASSIGN_OR_RETURN(config.hidden_kind, ReadHiddenKind(fields));
    ASSIGN_OR_RETURN(const std::optional<int> longest, fields.Int("max_draft_tokens"));
    config.max_draft_tokens = longest.value_or(1);
    if (config.max_draft_tokens < 1 || config.max_draft_tokens > kMaxDraftTokens) {
      return fields.Wrong("max_draft_tokens", "1 to " + std::to_string(kMaxDraftTokens));
    }
  } else {
    RETURN_IF_ERROR(CheckShared(fields));
    ASSIGN_OR_RETURN(architecture, ReadModelType(fields));
  }
  ASSIGN_OR_RETURN(config.layers, ReadHuggingFaceFields(fields, architecture));
  if (Status valid = config.layers.Validate(); !valid.ok()) {
    return Status(valid.code(), path + ": " + valid.message());
  }
  ASSIGN_OR_RETURN(const std::optional<int> embedding_size, fields.Int("embedding_size"));
  config.embedding_size = embedding_size.value_or(config.layers.hidden_size);
  ASSIGN_OR_RETURN(const std::optional<int> draft_vocab, fields.Int("draft_vocab_size"));
  config.draft_vocab_size = draft_vocab.value_or(config.layers.vocab_size);
  if (config.draft_vocab_size < 1 || config.draft_vocab_size > config.layers.vocab_size) {
    return fields.Wrong("draft_vocab_size", "1 to vocab_size");
  }
  ASSIGN_OR_RETURN(const std::optional<std::string> sha256, fields.String("base_sha256"));
  if (!sha256) return fields.Wrong("base_sha256", "the fingerprint that `reprise inspect` prints");
  config.base_sha256 = *sha256;
  ASSIGN_OR_RETURN(const std::optional<std::string> name, fields.String("base_name"));
  config.base_name = name.value_or("");
  return config;
}

Status CheckMadeFor(const std::string& directory, const DraftConfig& draft, const ModelConfig& target,
                    const std::string& target_name, const std::string& target_sha256) {
  const auto differ = [&](const std::string& what, const std::string& own, const std::string& targets) {
    return FailedPrecondition(directory + ": was made for " + what + " " + own +
                              (draft.base_name.empty() ? "" : " (" + draft.base_name + ")") + ", but " +
                              target_name + " has " + targets);
  };
  if (draft.layers.hidden_size != target.hidden_size) {
    return differ("hidden size", std::to_string(draft.layers.hidden_size),
                  std::to_string(target.hidden_size));
  }
  // A sliced target's embedding is narrower, and quantised it is padded to whole blocks.
  if (draft.embedding_size != target.embedding_width()) {
    return differ("embeddings of width", std::to_string(draft.embedding_size),
                  std::to_string(target.embedding_width()));
  }
  if (draft.layers.vocab_size != target.vocab_size) {
    return differ("a vocabulary of", std::to_string(draft.layers.vocab_size),
                  std::to_string(target.vocab_size));
  }
  if (draft.base_sha256 != target_sha256) {
    return differ("a model with fingerprint", draft.base_sha256, target_sha256);
  }
  return OkStatus();
}

}  // namespace reprise
