#include "server/http/chat_messages.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace reprise {
namespace {

chat_template::Value ToTemplateValue(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return json.get<bool>();
    case Json::value_t::number_integer:
      return json.get<std::int64_t>();
    case Json::value_t::number_unsigned:
    case Json::value_t::number_float: {
      std::int64_t integer = 0;
      if (json.is_number_integer() && ToInteger(json, &integer)) return integer;
      return json.get<double>();
    }
    case Json::value_t::string:
      return json.get<std::string>();
    case Json::value_t::array: {
      chat_template::List list;
      for (const Json& item : json) list.push_back(ToTemplateValue(item));
      return list;
    }
    case Json::value_t::object: {
      chat_template::Dict dict;
      for (const auto& item : json.items()) dict.emplace_back(item.key(), ToTemplateValue(item.value()));
      return dict;
    }
    default:
      return {};
  }
}

// A string, or a list of parts of type text, whose texts are put on lines of their own.
void ReadContent(JsonReader* message, std::string* out) {
  const Json* content = message->Find("content");
  if (content == nullptr) {
    return message->Fail(
        InvalidArgument("'" + message->Path("content") + "' is missing", message->Path("content")));
  }
  if (content->is_string()) {
    *out = content->get<std::string>();
    return;
  }
  if (!content->is_array()) return message->FailType("content", "a string or a list of text parts", *content);
  for (std::size_t i = 0; i < content->size(); ++i) {
    const std::string name = message->Path("content[" + std::to_string(i) + "]");
    JsonReader part((*content)[i], name + ".");
    std::optional<std::string> type, text;
    part.Read("type", &type);
    if (!part.failed() && type != "text") {
      return message->Fail(Unimplemented(
          "'" + name + ".type' must be \"text\": other parts are not supported yet", name + ".type"));
    }
    part.Read("text", &text);
    part.Accept("cache_control");
    if (!part.failed() && !text) part.Fail(InvalidArgument("'" + name + ".text' is missing", name + ".text"));
    if (Status status = part.Finish(); !status.ok()) return message->Fail(std::move(status));
    if (i > 0) *out += '\n';
    *out += *text;
  }
}

Status ReadMessage(const Json& json, const std::string& path, ChatMessage* out) {
  JsonReader message(json, path + ".");
  std::optional<std::string> role, name, tool_call_id;
  message.Read("role", &role);
  message.Read("name", &name);
  message.Read("tool_call_id", &tool_call_id);
  message.Accept("refusal");
  message.Accept("annotations");
  for (const char* field : {"tool_calls", "function_call", "audio"}) message.RefuseUnsupported(field);
  ReadContent(&message, &out->content);
  RETURN_IF_ERROR(message.Finish());
  if (!role) return InvalidArgument("'" + path + ".role' is missing", path + ".role");
  out->role = std::move(*role);
  out->name = name.value_or("");
  return OkStatus();
}

}  // namespace

void ReadConversation(JsonReader* reader, Conversation* out) {
  reader->Read("add_generation_prompt", &out->add_generation_prompt);
  reader->Read("continue_final_message", &out->continue_final_message);
  const Json* messages = reader->Find("messages");
  const Json* variables = reader->Find("chat_template_kwargs");
  if (variables != nullptr) {
    if (!variables->is_object()) return reader->FailType("chat_template_kwargs", "an object", *variables);
    for (const auto& item : variables->items()) {
      out->template_variables.emplace_back(item.key(), ToTemplateValue(item.value()));
    }
  }
  if (messages == nullptr) {
    return reader->Fail(InvalidArgument("'messages' is missing: a list of messages", "messages"));
  }
  if (!messages->is_array()) return reader->FailType("messages", "a list of messages", *messages);
  for (std::size_t i = 0; i < messages->size(); ++i) {
    Status status =
        ReadMessage((*messages)[i], "messages[" + std::to_string(i) + "]", &out->messages.emplace_back());
    if (!status.ok()) return reader->Fail(std::move(status));
  }
}

}  // namespace reprise
