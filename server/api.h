// Requests as the transports hand them to the service: parsed, typed, not yet validated. A field that was not
// given is unset. Names are those of OpenAI's API and of vLLM's extensions to it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/types.h"
#include "models/chat_template/chat_template.h"

namespace reprise {

struct DecodingFields {
  std::optional<std::string> method;
  std::optional<std::int64_t> max_draft_tokens;
  std::optional<double> lenience;
  std::optional<std::string> proposer;
};

// What completions and chats share.
struct GenerationFields {
  std::optional<std::string> model;

  std::optional<std::int64_t> max_tokens;
  std::optional<std::int64_t> min_tokens;
  std::optional<std::int64_t> n;
  std::optional<std::int64_t> best_of;
  std::optional<double> timeout_s;

  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<std::int64_t> top_k;
  std::optional<double> min_p;
  std::optional<double> presence_penalty;
  std::optional<double> frequency_penalty;
  std::optional<double> repetition_penalty;
  std::vector<std::pair<std::int64_t, double>> logit_bias;
  std::optional<std::int64_t> seed;

  std::vector<std::string> stop;
  std::vector<std::int64_t> stop_token_ids;
  bool include_stop_str_in_output = false;
  bool ignore_eos = false;

  std::optional<std::int64_t> logprobs;     // alternatives a token; unset: no log-probabilities
  std::string logprobs_field = "logprobs";  // the field's name in this API, for messages
  bool return_token_ids = false;
  std::optional<bool> skip_special_tokens;
  std::optional<bool> add_special_tokens;
  std::optional<std::int64_t> priority;
  std::optional<DecodingFields> decoding;
};

// Text, or token ids as they were given (they may be out of range).
using PromptInput = std::variant<std::string, std::vector<std::int64_t>>;

struct CompletionRequest {
  GenerationFields fields;
  std::vector<PromptInput> prompts;
  bool echo = false;
};

// A conversation to be formatted by the model's template.
struct Conversation {
  std::vector<ChatMessage> messages;
  std::optional<bool> add_generation_prompt;
  bool continue_final_message = false;
  chat_template::Dict template_variables;
};

struct ChatRequest {
  GenerationFields fields;
  Conversation conversation;
};

struct TokenizeRequest {
  std::optional<std::string> model;
  std::optional<std::string> prompt;
  std::optional<Conversation> conversation;  // exactly one of the two
  std::optional<bool> add_special_tokens;
  bool return_token_strs = false;
};

struct TokenizeReply {
  std::vector<TokenId> tokens;
  std::vector<std::string> token_strs;
  int max_model_len = 0;
};

struct DetokenizeRequest {
  std::optional<std::string> model;
  std::vector<std::int64_t> tokens;
};

}  // namespace reprise
