#include "models/tokenizer/component.h"

#include <utility>

#include "base/utf8.h"
#include "models/formats/quoted.h"

namespace reprise::tokenizer {
namespace {

using nlohmann::json;

constexpr char kFile[] = "tokenizer.json";

Status Visit(const json& value, const std::string& path, const std::string& list,
             const std::function<Status(const Component&)>& visit) {
  if (!value.is_object()) {
    return DataLoss(std::string(kFile) + ": " + Quoted(path) + " is a JSON " + value.type_name() +
                    "; expected an object");
  }
  JsonFields fields(value, kFile, path + ".");
  ASSIGN_OR_RETURN(std::optional<std::string> type, fields.String("type"));
  if (!type) return fields.Wrong("type", "the name of a component");
  if (*type != "Sequence") return visit({value, fields, *type, path});
  const auto parts = value.find(list);
  if (parts == value.end() || !parts->is_array()) return fields.Wrong(list, "a list of components");
  for (std::size_t i = 0; i < parts->size(); ++i) {
    RETURN_IF_ERROR(Visit((*parts)[i], path + "." + list + "[" + std::to_string(i) + "]", list, visit));
  }
  return OkStatus();
}

}  // namespace

Status ForEachComponent(const json& root, const std::string& name, const std::string& list,
                        const std::function<Status(const Component&)>& visit) {
  const auto value = root.find(name);
  if (value == root.end() || value->is_null()) return OkStatus();
  return Visit(*value, name, list, visit);
}

Result<Pattern> ParsePattern(const Component& component) {
  constexpr std::string_view kExpected = "{\"String\": \"...\"} or {\"Regex\": \"...\"}";
  ASSIGN_OR_RETURN(const std::optional<JsonFields> fields, component.fields.Object("pattern"));
  if (!fields) return component.fields.Wrong("pattern", kExpected);
  ASSIGN_OR_RETURN(std::optional<std::string> literal, fields->String("String"));
  ASSIGN_OR_RETURN(std::optional<std::string> regex, fields->String("Regex"));
  if (literal.has_value() == regex.has_value()) return component.fields.Wrong("pattern", kExpected);
  Result<Regex> compiled = literal ? Regex::CompileLiteral(*literal) : Regex::Compile(*regex);
  if (!compiled.ok()) {
    return DataLoss(std::string(kFile) + ": " + Quoted(component.path + ".pattern") + ": " +
                    compiled.status().message());
  }
  return Pattern{std::move(*compiled), literal.has_value(), literal ? *literal : *regex};
}

Result<std::string> RequiredString(const Component& component, std::string_view name) {
  ASSIGN_OR_RETURN(std::optional<std::string> text, component.fields.String(name));
  if (!text) return component.fields.Wrong(name, "a string");
  return *std::move(text);
}

Result<std::string> RequiredCharacter(const Component& component, std::string_view name) {
  ASSIGN_OR_RETURN(std::string text, RequiredString(component, name));
  if (!IsOneCharacter(text)) return component.fields.Wrong(name, "one character");
  return text;
}

bool IsOneCharacter(std::string_view text) {
  if (text.empty()) return false;
  std::size_t offset = 0;
  DecodeUtf8(text, &offset);
  return offset == text.size();
}

}  // namespace reprise::tokenizer
