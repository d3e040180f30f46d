#include "models/tokenizer/tokenizer_config.h"

#include <filesystem>
#include <utility>

#include "base/mapped_file.h"
#include "models/formats/json_file.h"
#include "models/json_fields.h"

namespace reprise::tokenizer {
namespace {

using nlohmann::json;

constexpr char kConfigFile[] = "tokenizer_config.json";
constexpr char kTokensFile[] = "special_tokens_map.json";
constexpr char kTemplateFile[] = "chat_template.jinja";

// The text of a token written as "<s>" or {"content": "<s>", ...}.
Result<std::optional<std::string>> ReadToken(const json& object, const JsonFields& fields,
                                             const std::string& name) {
  const auto value = object.find(name);
  if (value == object.end() || !value->is_object()) return fields.String(name);
  ASSIGN_OR_RETURN(const std::optional<JsonFields> token, fields.Object(name));
  return token->String("content");
}

Status ReadTokens(const json& object, const JsonFields& fields, TokenizerConfig* config) {
  if (!config->bos_token) {
    ASSIGN_OR_RETURN(config->bos_token, ReadToken(object, fields, "bos_token"));
  }
  if (!config->eos_token) {
    ASSIGN_OR_RETURN(config->eos_token, ReadToken(object, fields, "eos_token"));
  }
  return OkStatus();
}

// One template, or a list of named ones of which we take "default".
Result<std::string> ReadChatTemplate(const json& object, const JsonFields& fields) {
  const auto value = object.find("chat_template");
  if (value == object.end() || value->is_null()) return std::string();
  if (value->is_string()) return value->get<std::string>();
  constexpr std::string_view kExpected = "a string, or a list of {\"name\": \"...\", \"template\": \"...\"}";
  if (!value->is_array()) return fields.Wrong("chat_template", kExpected);
  std::string chosen;
  for (const json& entry : *value) {
    const JsonFields entry_fields(entry, kConfigFile, "chat_template[].");
    ASSIGN_OR_RETURN(const std::optional<std::string> name, entry_fields.String("name"));
    ASSIGN_OR_RETURN(std::optional<std::string> source, entry_fields.String("template"));
    if (!name || !source) return fields.Wrong("chat_template", kExpected);
    if (*name == "default" || chosen.empty()) chosen = *std::move(source);
  }
  return chosen;
}

bool Exists(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

Result<std::string> ReadText(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::file_size(path, error) == 0 && !error) return std::string();
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path.string()));
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

}  // namespace

Result<TokenizerConfig> ReadTokenizerConfig(const std::string& folder) {
  const std::filesystem::path base(folder);
  TokenizerConfig config;
  if (Exists(base / kConfigFile)) {
    ASSIGN_OR_RETURN(const json object, ReadJsonObject((base / kConfigFile).string()));
    const JsonFields fields(object, kConfigFile);
    RETURN_IF_ERROR(ReadTokens(object, fields, &config));
    ASSIGN_OR_RETURN(config.add_bos_token, fields.Bool("add_bos_token"));
    ASSIGN_OR_RETURN(config.add_eos_token, fields.Bool("add_eos_token"));
    ASSIGN_OR_RETURN(config.chat_template, ReadChatTemplate(object, fields));
  }
  if (Exists(base / kTokensFile)) {
    ASSIGN_OR_RETURN(const json object, ReadJsonObject((base / kTokensFile).string()));
    RETURN_IF_ERROR(ReadTokens(object, JsonFields(object, kTokensFile), &config));
  }
  if (Exists(base / kTemplateFile)) {
    ASSIGN_OR_RETURN(config.chat_template, ReadText(base / kTemplateFile));
  }
  return config;
}

}  // namespace reprise::tokenizer
