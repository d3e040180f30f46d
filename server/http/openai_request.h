// OpenAI's request bodies, with vLLM's extensions, into the structs of server/api.h. Types and names are
// checked here, values by the service.
#pragma once

#include <string_view>

#include "base/status.h"
#include "server/api.h"

namespace reprise {

// How the reply is to be sent.
struct ReplyOptions {
  bool stream = false;
  bool include_usage = false;           // a last chunk with usage and metrics
  bool continuous_usage_stats = false;  // usage so far in every chunk
};

struct ParsedCompletion {
  CompletionRequest request;
  ReplyOptions reply;
};
struct ParsedChat {
  ChatRequest request;
  ReplyOptions reply;
};

// INVALID_ARGUMENT, or UNIMPLEMENTED for what OpenAI has and we do not, with the field.
Result<ParsedCompletion> ParseCompletion(std::string_view body);
Result<ParsedChat> ParseChat(std::string_view body);
Result<TokenizeRequest> ParseTokenize(std::string_view body);
Result<DetokenizeRequest> ParseDetokenize(std::string_view body);

}  // namespace reprise
