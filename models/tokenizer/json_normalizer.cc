#include <optional>
#include <utility>

#include "models/tokenizer/component.h"
#include "models/tokenizer/json_components.h"

namespace reprise::tokenizer {
namespace {

std::optional<NormalForm> ParseNormalForm(std::string_view type) {
  if (type == "NFC") return NormalForm::kNfc;
  if (type == "NFD") return NormalForm::kNfd;
  if (type == "NFKC") return NormalForm::kNfkc;
  if (type == "NFKD") return NormalForm::kNfkd;
  return std::nullopt;
}

Result<std::unique_ptr<Normalizer>> ParseStrip(const Component& component) {
  ASSIGN_OR_RETURN(const std::optional<bool> left, component.fields.Bool("strip_left"));
  ASSIGN_OR_RETURN(const std::optional<bool> right, component.fields.Bool("strip_right"));
  return MakeStrip(left.value_or(true), right.value_or(true));
}

Result<std::unique_ptr<Normalizer>> ParseReplace(const Component& component) {
  ASSIGN_OR_RETURN(Pattern pattern, ParsePattern(component));
  ASSIGN_OR_RETURN(std::string content, RequiredString(component, "content"));
  return MakeReplace(std::move(pattern.regex), std::move(content));
}

Result<std::unique_ptr<Normalizer>> ParseNormalizer(const Component& component) {
  if (const auto form = ParseNormalForm(component.type)) return MakeUnicodeNormalizer(*form);
  if (component.type == "Prepend") {
    ASSIGN_OR_RETURN(std::string prefix, RequiredString(component, "prepend"));
    return MakePrepend(std::move(prefix));
  }
  if (component.type == "Replace") return ParseReplace(component);
  if (component.type == "Strip") return ParseStrip(component);
  if (component.type == "Lowercase") return MakeLowercase();
  if (component.type == "StripAccents") return MakeStripAccents();
  if (component.type == "ByteLevel") return MakeByteLevelNormalizer();
  return component.fields.Unsupported(
      "type", "NFC, NFD, NFKC, NFKD, Prepend, Replace, Strip, Lowercase, StripAccents, ByteLevel, Sequence");
}

}  // namespace

Result<NormalizerList> ParseNormalizers(const nlohmann::json& root) {
  NormalizerList normalizers;
  RETURN_IF_ERROR(
      ForEachComponent(root, "normalizer", "normalizers", [&](const Component& component) -> Status {
        ASSIGN_OR_RETURN(auto normalizer, ParseNormalizer(component));
        normalizers.push_back(std::move(normalizer));
        return OkStatus();
      }));
  return normalizers;
}

}  // namespace reprise::tokenizer
