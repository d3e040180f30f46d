#include "models/chat_template/chat_template.h"

#include <algorithm>
#include <string>
#include <utility>

#include "models/chat_template/ast.h"
#include "models/chat_template/interpreter.h"
#include "models/chat_template/lexer.h"
#include "models/chat_template/parser.h"
#include "models/chat_template/text.h"

namespace reprise {

using chat_template::Dict;
using chat_template::List;
using chat_template::Side;
using chat_template::StripSpace;
using chat_template::Value;

struct ChatTemplate::Program {
  std::string source;  // normalized
  chat_template::Body body;
  ChatTemplateLimits limits;
};

namespace {

// Appended to the final message, so that the render can be cut where it ends. Hugging Face's choice: a
// template sees the same text in both.
constexpr std::string_view kContinuationTag = "CONTINUE_FINAL_MESSAGE_TAG ";

Value MessageValue(const ChatMessage& message, std::string_view suffix) {
  Dict fields;
  fields.emplace_back("role", message.role);
  fields.emplace_back("content", message.content + std::string(suffix));
  if (!message.name.empty()) fields.emplace_back("name", message.name);
  return fields;
}

void SetDefault(Dict* variables, const char* name, Value value) {
  const bool is_set = std::any_of(variables->begin(), variables->end(),
                                  [&](const auto& variable) { return variable.first == name; });
  if (!is_set) variables->emplace_back(name, std::move(value));
}

Dict MakeVariables(const ChatTemplateInput& input) {
  Dict variables = input.variables;
  std::erase_if(variables, [](const auto& variable) { return variable.first == "messages"; });
  List messages;
  for (const ChatMessage& message : input.messages) {
    const bool is_continued = input.continue_final_message && &message == &input.messages.back();
    messages.push_back(MessageValue(message, is_continued ? kContinuationTag : std::string_view()));
  }
  variables.emplace_back("messages", std::move(messages));
  SetDefault(&variables, "tools", nullptr);
  SetDefault(&variables, "documents", nullptr);
  SetDefault(&variables, "add_generation_prompt", input.add_generation_prompt);
  SetDefault(&variables, "bos_token", input.bos_token);
  SetDefault(&variables, "eos_token", input.eos_token);
  return variables;
}

Status CheckContinuation(const ChatTemplateInput& input, std::string_view source) {
  if (!input.continue_final_message) return OkStatus();
  if (input.add_generation_prompt) {
    return InvalidArgument(
        "add_generation_prompt and continue_final_message exclude each other: the first opens a new "
        "message, the second leaves the last one open");
  }
  if (input.messages.empty()) return InvalidArgument("continue_final_message needs a message to continue");
  if (source.find("content") != std::string_view::npos) return OkStatus();
  return InvalidArgument("continue_final_message is not possible: the chat template never reads 'content'");
}

// Cuts the render after the final message's content, and its white space too where the template trims it.
Result<std::string> CutAfterFinalMessage(std::string text, const std::string& content) {
  const std::string_view tag = StripSpace(kContinuationTag, Side::kBoth);
  const std::size_t at = chat_template::FindLast(text, tag);
  const bool has_content =
      chat_template::FindFirst(text, StripSpace(content, Side::kBoth)) != std::string::npos;
  if (at == std::string::npos || !has_content) {
    return InvalidArgument(
        "continue_final_message is not possible: the final message does not appear in the text the "
        "chat template makes, which may delete parts of it");
  }
  const bool keeps_space = std::string_view(text).substr(at).starts_with(kContinuationTag);
  text.resize(at);
  if (!keeps_space) text.resize(StripSpace(text, Side::kRight).size());
  return text;
}

}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<Program> program) : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::Parse(std::string_view source, const ChatTemplateLimits& limits) {
  if (source.size() > limits.max_source_bytes) {
    return InvalidArgument("the chat template has " + std::to_string(source.size()) + " bytes; at most " +
                           std::to_string(limits.max_source_bytes) + " are allowed");
  }
  auto program = std::make_unique<Program>();
  program->source = chat_template::NormalizeSource(source);
  program->limits = limits;
  ASSIGN_OR_RETURN(program->body, chat_template::ParseTemplate(program->source, limits));
  return ChatTemplate(std::move(program));
}

Result<std::string> ChatTemplate::Render(const ChatTemplateInput& input) const {
  RETURN_IF_ERROR(CheckContinuation(input, program_->source));
  const Dict variables = MakeVariables(input);
  chat_template::Interpreter interpreter(program_->limits, input.now);
  Result<std::string> text = interpreter.Run(program_->body, variables);
  if (text.ok()) {
    return input.continue_final_message
               ? CutAfterFinalMessage(*std::move(text), input.messages.back().content)
               : text;
  }
  const std::string position = chat_template::DescribePosition(program_->source, interpreter.error_offset());
  const Status error = text.status();
  if (interpreter.raised())
    return Status(error.code(), error.message() + " (chat template, " + position + ")");
  return Status(error.code(), "chat template, " + position + ": " + error.message());
}

}  // namespace reprise
