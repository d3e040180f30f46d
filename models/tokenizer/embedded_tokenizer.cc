#include "models/tokenizer/embedded_tokenizer.h"

#include <filesystem>
#include <memory>
#include <optional>

#include "base/mapped_file.h"

namespace reprise::tokenizer {
namespace {

namespace fs = std::filesystem;

constexpr char kTemplateKey[] = "tokenizer.chat_template";
constexpr char kBosKey[] = "reprise.tokenizer.bos_token";
constexpr char kEosKey[] = "reprise.tokenizer.eos_token";
constexpr char kAddBosKey[] = "reprise.tokenizer.add_bos_token";
constexpr char kAddEosKey[] = "reprise.tokenizer.add_eos_token";

Result<GgufFile::Metadata> OfGguf(const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(path));
  GgufFile::Metadata metadata;
  for (const auto& [key, value] : file->metadata()) {
    if (key.starts_with("tokenizer.") || key.starts_with("reprise.tokenizer.")) metadata.insert({key, value});
  }
  return metadata;
}

Result<GgufFile::Metadata> OfFolder(const fs::path& folder) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open((folder / "tokenizer.json").string()));
  ASSIGN_OR_RETURN(const TokenizerConfig config, ReadTokenizerConfig(folder.string()));
  GgufFile::Metadata metadata;
  const auto add = [&](const char* key, const auto& value) {
    if (value) metadata.insert({key, GgufValue(*value)});
  };
  const std::string text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  add(kEmbeddedTokenizerKey, std::optional(text));
  add(kBosKey, config.bos_token);
  add(kEosKey, config.eos_token);
  add(kAddBosKey, config.add_bos_token);
  add(kAddEosKey, config.add_eos_token);
  if (!config.chat_template.empty()) add(kTemplateKey, std::optional(config.chat_template));
  return metadata;
}

std::optional<std::string> Text(const GgufFile& file, const char* key) {
  const GgufValue* value = file.FindMetadata(key);
  if (value == nullptr || value->AsString() == nullptr) return std::nullopt;
  return *value->AsString();
}

std::optional<bool> Truth(const GgufFile& file, const char* key) {
  const GgufValue* value = file.FindMetadata(key);
  return value != nullptr ? value->AsBool() : std::nullopt;
}

}  // namespace

Result<GgufFile::Metadata> TokenizerMetadata(const std::string& path) {
  std::error_code ignored;
  fs::path folder(path);
  if (!fs::is_directory(folder, ignored)) {
    ASSIGN_OR_RETURN(const bool is_gguf, IsGguf(path));
    if (is_gguf) return OfGguf(path);
    folder = folder.parent_path();
  }
  const fs::path gguf = folder / "tokenizer.gguf";
  return fs::exists(gguf, ignored) ? OfGguf(gguf.string()) : OfFolder(folder);
}

TokenizerConfig EmbeddedTokenizerConfig(const GgufFile& file) {
  TokenizerConfig config;
  config.bos_token = Text(file, kBosKey);
  config.eos_token = Text(file, kEosKey);
  config.add_bos_token = Truth(file, kAddBosKey);
  config.add_eos_token = Truth(file, kAddEosKey);
  config.chat_template = Text(file, kTemplateKey).value_or("");
  return config;
}

}  // namespace reprise::tokenizer
