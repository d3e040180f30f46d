// Log-probabilities in OpenAI's two shapes.
#pragma once

#include <string>
#include <vector>

#include "models/tokenizer/tokenizer.h"
#include "server/generation_call.h"

namespace reprise {

// {"tokens": [...], "token_logprobs": [...], "top_logprobs": [{...}], "text_offset": [...]}
void AppendCompletionLogprobs(const Tokenizer& tokenizer, const std::vector<TokenDetail>& tokens,
                              std::string* out);
// {"content": [{"token", "logprob", "bytes", "top_logprobs": [...]}]}
void AppendChatLogprobs(const Tokenizer& tokenizer, const std::vector<TokenDetail>& tokens, std::string* out);

}  // namespace reprise
