#include <optional>
#include <utility>

#include "models/formats/quoted.h"
#include "models/tokenizer/component.h"
#include "models/tokenizer/json_components.h"
#include "models/tokenizer/vocabulary.h"

namespace reprise::tokenizer {
namespace {

using nlohmann::json;

// ["</s>", 2]
Result<TokenId> ParseTokenAndId(const Component& component, const std::string& name) {
  const auto value = component.value.find(name);
  const bool is_pair = value != component.value.end() && value->is_array() && value->size() == 2;
  if (!is_pair || !(*value)[1].is_number_integer()) return component.fields.Wrong(name, "a token and its id");
  const auto id = (*value)[1].get<std::int64_t>();
  if (id < 0 || id > kMaxTokenId) return component.fields.Wrong(name, "a token and its id");
  return static_cast<TokenId>(id);
}

// [CLS] text [SEP]
Result<Surroundings> ParseClassification(const Component& component) {
  ASSIGN_OR_RETURN(const TokenId first, ParseTokenAndId(component, "cls"));
  ASSIGN_OR_RETURN(const TokenId last, ParseTokenAndId(component, "sep"));
  return Surroundings{{first}, {last}};
}

// The ids of a template's special token, looked up in the template's own table.
Result<std::vector<TokenId>> FindSpecialToken(const Component& component, const std::string& name) {
  ASSIGN_OR_RETURN(const std::optional<JsonFields> table, component.fields.Object("special_tokens"));
  if (!table) return component.fields.Wrong("special_tokens", "an object");
  ASSIGN_OR_RETURN(const std::optional<JsonFields> entry, table->Object(name));
  if (!entry) return table->Wrong(name, "the ids of a token that the template uses");
  return entry->Ints("ids");
}

Result<Surroundings> ParseTemplate(const Component& component) {
  const auto single = component.value.find("single");
  if (single == component.value.end() || !single->is_array())
    return component.fields.Wrong("single", "a list");
  Surroundings around;
  bool seen_text = false;
  for (const json& piece : *single) {
    const JsonFields fields(piece, "tokenizer.json", component.path + ".single[].");
    ASSIGN_OR_RETURN(const std::optional<JsonFields> text, fields.Object("Sequence"));
    ASSIGN_OR_RETURN(const std::optional<JsonFields> special, fields.Object("SpecialToken"));
    if (text.has_value() == special.has_value())
      return component.fields.Wrong("single", "Sequence and SpecialToken");
    if (text) {
      if (seen_text) return component.fields.Unsupported("single", "templates with the text once");
      seen_text = true;
      continue;
    }
    ASSIGN_OR_RETURN(const std::optional<std::string> name, special->String("id"));
    if (!name) return special->Wrong("id", "a token");
    ASSIGN_OR_RETURN(const std::vector<TokenId> ids, FindSpecialToken(component, *name));
    std::vector<TokenId>& side = seen_text ? around.suffix : around.prefix;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (!seen_text) return component.fields.Unsupported("single", "templates with the text once");
  return around;
}

Result<Surroundings> ParseLeaf(const Component& component) {
  if (component.type == "TemplateProcessing") return ParseTemplate(component);
  if (component.type == "ByteLevel") return Surroundings();  // changes offsets only
  if (component.type == "BertProcessing" || component.type == "RobertaProcessing") {
    return ParseClassification(component);
  }
  return component.fields.Unsupported(
      "type", "TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing, Sequence");
}

}  // namespace

Result<Surroundings> ParsePostProcessor(const json& root) {
  Surroundings around;
  RETURN_IF_ERROR(
      ForEachComponent(root, "post_processor", "processors", [&](const Component& component) -> Status {
        ASSIGN_OR_RETURN(const Surroundings outer,
                         ParseLeaf(component));  // each wraps the result of those before
        around.prefix.insert(around.prefix.begin(), outer.prefix.begin(), outer.prefix.end());
        around.suffix.insert(around.suffix.end(), outer.suffix.begin(), outer.suffix.end());
        return OkStatus();
      }));
  return around;
}

}  // namespace reprise::tokenizer
