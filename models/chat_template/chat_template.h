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
  // Leave the last (assistant) message open so that generation continues it; excludes add_generation_prompt.
  bool continue_final_message = false;
  std::string bos_token;
  std::string eos_token;
  // `chat_template_kwargs`: further variables the template may read. They take precedence over everything
  // here but the messages; `tools` and `documents` are None unless given.
  chat_template::Dict variables;
  // The clock of strftime_now; the caller's, so that rendering depends on nothing else. It is printed in the
  // time zone of the process, as Hugging Face does.
  std::time_t now = 0;
};

// Limits that make a hostile template or input end with an error instead of filling memory or time.
struct ChatTemplateLimits {
  std::size_t max_source_bytes = 256u << 10;
  std::size_t max_steps = 2'000'000;  // nodes evaluated; looking through 64 bytes of text is a step too
  std::size_t max_output_bytes = 64u << 20;  // text produced, intermediate strings included
  int max_depth = 128;                       // nesting of blocks, expressions, macro calls and values
};

// Renders as Hugging Face's apply_chat_template does: Jinja in an immutable sandbox, with trim_blocks and
// lstrip_blocks, `break` and `continue`, `generation` blocks, raise_exception, strftime_now and a tojson that
// escapes no HTML. Integers are 64 bits wide, and templates cannot include other templates.
//
// Immutable after Parse: Render may be called from any thread.
class ChatTemplate {
 public:
  // INVALID_ARGUMENT with line and column for a syntax error or an unknown construct. An unknown filter or
  // test inside an `if` is an error only when a render reaches it.
  static Result<ChatTemplate> Parse(std::string_view source, const ChatTemplateLimits& limits = {});

  // INVALID_ARGUMENT, beginning with the template's own words when it calls raise_exception, and with line
  // and column when it fails in another way (an undefined value is used, a type does not fit);
  // RESOURCE_EXHAUSTED past a limit.
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
