// What the chat template tests share: JSON as template values, and short ways to render.
#pragma once

#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "models/chat_template/chat_template.h"

namespace reprise {

using Json = nlohmann::ordered_json;

inline const std::string kChatTemplateData = "tests/data/chat_templates/";

inline std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline Json ReadJson(const std::string& name) {
  return Json::parse(ReadText(kChatTemplateData + name));
}

inline chat_template::Value ToValue(const Json& json) {
  if (json.is_null()) return nullptr;
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    chat_template::List list;
    for (const Json& item : json) list.push_back(ToValue(item));
    return list;
  }
  chat_template::Dict dict;
  for (const auto& [key, item] : json.items()) dict.emplace_back(key, ToValue(item));
  return dict;
}

inline chat_template::Dict ToVariables(const Json& json) {
  chat_template::Dict variables;
  for (const auto& [key, item] : json.items()) variables.emplace_back(key, ToValue(item));
  return variables;
}

inline std::vector<ChatMessage> ToMessages(const Json& json) {
  std::vector<ChatMessage> messages;
  for (const Json& message : json) {
    messages.push_back({message.at("role"), message.at("content"), message.value("name", "")});
  }
  return messages;
}

// Parses and renders; a syntax error is the result too.
inline Result<std::string> Render(const std::string& source, const ChatTemplateInput& input,
                                  const ChatTemplateLimits& limits = {}) {
  ASSIGN_OR_RETURN(const ChatTemplate parsed, ChatTemplate::Parse(source, limits));
  return parsed.Render(input);
}

inline Result<std::string> Render(const std::string& source) {
  return Render(source, ChatTemplateInput());
}

}  // namespace reprise
