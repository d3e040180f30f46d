#include "server/http/openai_request.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "server/http/chat_messages.h"
#include "server/json_reader.h"

namespace reprise {
namespace {

void ReadLogitBias(JsonReader* reader, GenerationFields* out) {
  const Json* bias = reader->Find("logit_bias");
  if (bias == nullptr) return;
  if (!bias->is_object()) return reader->FailType("logit_bias", "an object of token ids to numbers", *bias);
  for (const auto& item : bias->items()) {
    const std::string& key = item.key();
    std::int64_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size()) {
      return reader->FailType("logit_bias", "an object whose keys are token ids", *bias);
    }
    if (!item.value().is_number()) return reader->FailType("logit_bias." + key, "a number", item.value());
    out->logit_bias.emplace_back(id, item.value().get<double>());
  }
}

// A method's name, or an object with more.
void ReadDecoding(JsonReader* reader, GenerationFields* out) {
  const Json* value = reader->Find("decoding");
  if (value == nullptr) return;
  DecodingFields decoding;
  if (value->is_string()) {
    decoding.method = value->get<std::string>();
  } else if (value->is_object()) {
    JsonReader fields(*value, "decoding.");
    fields.Read("method", &decoding.method);
    fields.Read("max_draft_tokens", &decoding.max_draft_tokens);
    fields.Read("lenience", &decoding.lenience);
    fields.Read("proposer", &decoding.proposer);
    if (Status status = fields.Finish(); !status.ok()) return reader->Fail(std::move(status));
  } else {
    return reader->FailType("decoding", "a string or an object", *value);
  }
  out->decoding = std::move(decoding);
}

void ReadMaxTokens(JsonReader* reader, GenerationFields* out) {
  std::optional<std::int64_t> max_completion_tokens;
  reader->Read("max_tokens", &out->max_tokens);
  reader->Read("max_completion_tokens", &max_completion_tokens);
  if (!max_completion_tokens) return;
  if (out->max_tokens && *out->max_tokens != *max_completion_tokens) {
    reader->Fail(InvalidArgument(
        "'max_tokens' and 'max_completion_tokens' are the same limit and must agree, got " +
            std::to_string(*out->max_tokens) + " and " + std::to_string(*max_completion_tokens),
        "max_completion_tokens"));
  }
  out->max_tokens = max_completion_tokens;
}

void ReadReplyOptions(JsonReader* reader, ReplyOptions* out) {
  reader->Read("stream", &out->stream);
  const Json* options = reader->Find("stream_options");
  if (options == nullptr) return;
  JsonReader fields(*options, "stream_options.");
  fields.Read("include_usage", &out->include_usage);
  fields.Read("continuous_usage_stats", &out->continuous_usage_stats);
  fields.Accept("include_obfuscation");
  if (Status status = fields.Finish(); !status.ok()) return reader->Fail(std::move(status));
  if (!out->stream) {
    reader->Fail(InvalidArgument("'stream_options' may only be given with 'stream': true", "stream_options"));
  }
}

// Unlike everything else, text is a format we do have.
void ReadResponseFormat(JsonReader* reader) {
  const Json* format = reader->Find("response_format");
  if (format == nullptr) return;
  if (!format->is_object()) return reader->FailType("response_format", "an object", *format);
  const auto type = format->find("type");
  if (type != format->end() && *type == "text") return;
  reader->Fail(Unimplemented("'response_format' other than {\"type\": \"text\"} is not supported yet",
                             "response_format"));
}

void ReadCommon(JsonReader* reader, GenerationFields* out) {
  reader->Read("model", &out->model);
  ReadMaxTokens(reader, out);
  reader->Read("min_tokens", &out->min_tokens);
  reader->Read("n", &out->n);
  reader->Read("timeout_s", &out->timeout_s);
  reader->Read("temperature", &out->temperature);
  reader->Read("top_p", &out->top_p);
  reader->Read("top_k", &out->top_k);
  reader->Read("min_p", &out->min_p);
  reader->Read("presence_penalty", &out->presence_penalty);
  reader->Read("frequency_penalty", &out->frequency_penalty);
  reader->Read("repetition_penalty", &out->repetition_penalty);
  ReadLogitBias(reader, out);
  reader->Read("seed", &out->seed);
  reader->Read("stop", &out->stop);
  reader->Read("stop_token_ids", &out->stop_token_ids);
  reader->Read("include_stop_str_in_output", &out->include_stop_str_in_output);
  reader->Read("ignore_eos", &out->ignore_eos);
  reader->Read("return_token_ids", &out->return_token_ids);
  reader->Read("skip_special_tokens", &out->skip_special_tokens);
  reader->Read("add_special_tokens", &out->add_special_tokens);
  reader->Read("priority", &out->priority);
  ReadDecoding(reader, out);
  ReadResponseFormat(reader);
  std::optional<std::string> user;
  reader->Read("user", &user);
  for (const char* name : {"metadata", "store", "service_tier", "parallel_tool_calls", "prompt_cache_key",
                           "safety_identifier"}) {
    reader->Accept(name);
  }
  for (const char* name : {"tools", "tool_choice", "functions", "function_call"}) {
    reader->RefuseUnsupported(name);
  }
}

void ReadTokenList(const Json& list, const std::string& name, JsonReader* reader,
                   std::vector<PromptInput>* out) {
  std::vector<std::int64_t> ids;
  ids.reserve(list.size());
  for (const Json& item : list) {
    std::int64_t id = 0;
    if (!ToInteger(item, &id)) {
      return reader->FailType(name + "[" + std::to_string(ids.size()) + "]", "a token id", item);
    }
    ids.push_back(id);
  }
  out->emplace_back(std::move(ids));
}

// A string, a list of strings, a list of token ids, or a list of such lists.
void ReadPrompt(JsonReader* reader, std::vector<PromptInput>* out) {
  const Json* prompt = reader->Find("prompt");
  if (prompt == nullptr) {
    return reader->Fail(
        InvalidArgument("'prompt' is missing: a string, a list of strings or token ids", "prompt"));
  }
  if (prompt->is_string()) {
    out->emplace_back(prompt->get<std::string>());
    return;
  }
  if (!prompt->is_array()) {
    return reader->FailType("prompt", "a string, a list of strings or a list of token ids", *prompt);
  }
  if (prompt->empty()) {
    return reader->Fail(
        InvalidArgument("'prompt' is an empty list: it must have at least one prompt", "prompt"));
  }
  if (prompt->front().is_number()) return ReadTokenList(*prompt, "prompt", reader, out);
  const bool strings = prompt->front().is_string();
  for (const Json& item : *prompt) {
    const std::string name = "prompt[" + std::to_string(out->size()) + "]";
    if (strings && item.is_string()) {
      out->emplace_back(item.get<std::string>());
    } else if (!strings && item.is_array()) {
      ReadTokenList(item, name, reader, out);
    } else {
      return reader->FailType(name, strings ? "a string, as the first is" : "a string or a list of token ids",
                              item);
    }
    if (reader->failed()) return;
  }
}

}  // namespace

Result<ParsedCompletion> ParseCompletion(std::string_view body) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(body));
  ParsedCompletion out;
  JsonReader reader(json, "");
  ReadCommon(&reader, &out.request.fields);
  ReadReplyOptions(&reader, &out.reply);
  ReadPrompt(&reader, &out.request.prompts);
  reader.Read("best_of", &out.request.fields.best_of);
  reader.Read("echo", &out.request.echo);
  reader.Read("logprobs", &out.request.fields.logprobs);
  reader.RefuseUnsupported("suffix");
  RETURN_IF_ERROR(reader.Finish());
  return out;
}

Result<ParsedChat> ParseChat(std::string_view body) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(body));
  ParsedChat out;
  GenerationFields& fields = out.request.fields;
  JsonReader reader(json, "");
  ReadCommon(&reader, &fields);
  ReadReplyOptions(&reader, &out.reply);
  ReadConversation(&reader, &out.request.conversation);
  bool logprobs = false;
  reader.Read("logprobs", &logprobs);
  reader.Read("top_logprobs", &fields.logprobs);
  fields.logprobs_field = "top_logprobs";
  RETURN_IF_ERROR(reader.Finish());
  if (fields.logprobs && !logprobs) {
    return InvalidArgument("'top_logprobs' may only be given with 'logprobs': true", "top_logprobs");
  }
  if (logprobs && !fields.logprobs) fields.logprobs = 0;
  return out;
}

Result<TokenizeRequest> ParseTokenize(std::string_view body) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(body));
  TokenizeRequest out;
  JsonReader reader(json, "");
  reader.Read("model", &out.model);
  reader.Read("prompt", &out.prompt);
  reader.Read("add_special_tokens", &out.add_special_tokens);
  reader.Read("return_token_strs", &out.return_token_strs);
  if (reader.Find("messages") != nullptr) {
    ReadConversation(&reader, &out.conversation.emplace());
  } else {
    for (const char* name : {"add_generation_prompt", "continue_final_message", "chat_template_kwargs"}) {
      reader.Accept(name);
    }
  }
  RETURN_IF_ERROR(reader.Finish());
  return out;
}

Result<DetokenizeRequest> ParseDetokenize(std::string_view body) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(body));
  DetokenizeRequest out;
  JsonReader reader(json, "");
  reader.Read("model", &out.model);
  reader.Read("tokens", &out.tokens);
  if (reader.Find("tokens") == nullptr) {
    reader.Fail(InvalidArgument("'tokens' is missing: a list of token ids", "tokens"));
  }
  RETURN_IF_ERROR(reader.Finish());
  return out;
}

}  // namespace reprise
