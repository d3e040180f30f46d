#include <filesystem>
#include <optional>
#include <system_error>

#include "models/config.h"
#include "models/formats/json_file.h"
#include "models/json_fields.h"

namespace reprise {
namespace {

namespace fs = std::filesystem;

Status ReadNumber(const JsonFields& fields, const char* name, double low, double high, float* out) {
  ASSIGN_OR_RETURN(const std::optional<double> value, fields.Number(name));
  if (!value) return OkStatus();
  if (*value < low || *value > high) {
    return fields.Wrong(name, "a number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  *out = static_cast<float>(*value);
  return OkStatus();
}

Result<GenerationDefaults> Read(const JsonFields& fields) {
  GenerationDefaults defaults;
  ASSIGN_OR_RETURN(defaults.eos_token_ids, fields.Ints("eos_token_id"));
  RETURN_IF_ERROR(ReadNumber(fields, "temperature", 0, 1000, &defaults.temperature));
  RETURN_IF_ERROR(ReadNumber(fields, "top_p", 0, 1, &defaults.top_p));
  RETURN_IF_ERROR(ReadNumber(fields, "min_p", 0, 1, &defaults.min_p));
  RETURN_IF_ERROR(ReadNumber(fields, "repetition_penalty", 0, 1000, &defaults.repetition_penalty));
  if (defaults.repetition_penalty == 0) return fields.Wrong("repetition_penalty", "a positive number");
  ASSIGN_OR_RETURN(const std::optional<int> top_k, fields.Int("top_k"));
  if (top_k && *top_k < -1) return fields.Wrong("top_k", "0 or -1 (all tokens), or a positive integer");
  if (top_k) defaults.top_k = *top_k == -1 ? 0 : *top_k;
  ASSIGN_OR_RETURN(const std::optional<int> max_new_tokens, fields.Int("max_new_tokens"));
  if (max_new_tokens && *max_new_tokens < 1) return fields.Wrong("max_new_tokens", "a positive integer");
  defaults.max_new_tokens = max_new_tokens.value_or(-1);
  return defaults;
}

}  // namespace

Result<GenerationDefaults> LoadGenerationDefaults(const std::string& path) {
  std::error_code ignored;
  const fs::path file = fs::path(path) / "generation_config.json";
  if (!fs::exists(file, ignored)) return GenerationDefaults{};
  ASSIGN_OR_RETURN(const nlohmann::json object, ReadJsonObject(file.string()));
  return Read(JsonFields(object, file.string()));
}

}  // namespace reprise
