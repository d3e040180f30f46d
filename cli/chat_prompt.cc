#include "cli/chat_prompt.h"

#include <ctime>

namespace reprise {

Result<std::vector<TokenId>> EncodeChat(const Model& model, const std::string& system,
                                        const std::string& user) {
  const Tokenizer& tokenizer = model.tokenizer();
  if (model.chat_template() == nullptr) {
    return FailedPrecondition(model.name() + " has no usable chat template; leave out --chat");
  }
  ChatTemplateInput input;
  if (!system.empty()) input.messages.push_back({"system", system, ""});
  input.messages.push_back({"user", user, ""});
  if (tokenizer.bos()) input.bos_token = tokenizer.TokenText(*tokenizer.bos());
  if (!tokenizer.eos().empty()) input.eos_token = tokenizer.TokenText(tokenizer.eos().front());
  input.now = std::time(nullptr);
  ASSIGN_OR_RETURN(const std::string text, model.chat_template()->Render(input));
  return tokenizer.Encode(text, {.add_special_tokens = false, .parse_special_tokens = true});
}

}  // namespace reprise
