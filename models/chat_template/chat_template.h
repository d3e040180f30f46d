// The model's own chat template: a bounded interpreter of the part of Jinja that such templates use.
#pragma once

#include <cstddef>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "models/chat_template/value.h"

namespace reprise {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", "tool"
  std::string content;
  std::string name;  // optional
};

struct ChatTemplateInput {
  std::vector<ChatMessage> messages;
  bool add_generation_prompt = true;
  // Leave the last (assistant) message open so that generation continues it.
  bool continue_final_message = false;
  std::string bos_token;
  std::string eos_token;
  // `chat_template_kwargs`: further variables the template may read.
  chat_template::Dict variables;
  // The clock of strftime_now; the caller's, so that rendering is a pure function.
  std::time_t now = 0;
};

// Limits that make a hostile template or input end with an error instead of filling memory or time.
struct ChatTemplateLimits {
  std::size_t max_steps = 2'000'000;            // nodes evaluated
  std::size_t max_output_bytes = 16u << 20;     // text produced, intermediate strings included
  int max_depth = 64;                           // nesting of blocks, expressions and macro calls
};

// Immutable after Parse: Render may be called from any thread.
class ChatTemplate {
 public:
  // INVALID_ARGUMENT with line and column for a syntax error or an unknown construct.
  static Result<ChatTemplate> Parse(std::string_view source, const ChatTemplateLimits& limits = {});

  // INVALID_ARGUMENT carrying the template's own words when it calls raise_exception; RESOURCE_EXHAUSTED past a limit.
  Result<std::string> Render(const ChatTemplateInput& input) const;

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

 private:
  struct Program;
  explicit ChatTemplate(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

}  // namespace reprise
