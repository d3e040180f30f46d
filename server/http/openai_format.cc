#include "server/http/openai_format.h"

#include <utility>

#include "server/http/error_response.h"
#include "server/http/logprobs_format.h"
#include "server/json_writer.h"

namespace reprise {
namespace {

void AppendField(const char* name, double value, std::string* out) {
  *out += name;
  AppendJsonNumber(value, out);
}
void AppendField(const char* name, int value, std::string* out) {
  *out += name;
  AppendJsonNumber(value, out);
}

void AppendUsage(const Usage& usage, std::string* out) {
  AppendField("{\"prompt_tokens\":", usage.prompt_tokens, out);
  AppendField(",\"completion_tokens\":", usage.completion_tokens, out);
  AppendField(",\"total_tokens\":", usage.prompt_tokens + usage.completion_tokens, out);
  AppendField(",\"prompt_tokens_details\":{\"cached_tokens\":", usage.cached_tokens, out);
  *out += "}}";
}

// {"plain":{"goodput":3,"exploration":1},"recycle":{"goodput":7}}: steps by who drafted, and why.
void AppendRouter(const std::vector<RouterCount>& router, std::string* out) {
  *out += '{';
  std::string_view open;
  for (const RouterCount& count : router) {
    const std::string_view name = RouterCountName(count);
    if (name != open) {
      if (!open.empty()) *out += "},";
      AppendJsonString(name, out);
      *out += ":{";
      open = name;
    } else {
      *out += ',';
    }
    AppendJsonString(RouteReasonName(count.reason), out);
    *out += ':';
    AppendJsonNumber(count.steps, out);
  }
  *out += open.empty() ? "}" : "}}";
}

void AppendSpeculation(const SpeculativeMetrics& metrics, std::string* out) {
  AppendField("{\"mean_acceptance_length\":", metrics.mean_acceptance_length, out);
  AppendField(",\"draft_acceptance_rate\":", metrics.draft_acceptance_rate, out);
  *out += ",\"acceptance_histogram\":[";
  for (std::size_t k = 0; k < metrics.acceptance_histogram.size(); ++k) {
    AppendField(k > 0 ? "," : "", metrics.acceptance_histogram[k], out);
  }
  AppendField("],\"num_spec_steps\":", metrics.num_spec_steps, out);
  AppendField(",\"num_draft_tokens\":", metrics.num_draft_tokens, out);
  AppendField(",\"num_accepted_draft_tokens\":", metrics.num_accepted_draft_tokens, out);
  *out += '}';
}

void AppendMetrics(const CallMetrics& metrics, std::string* out) {
  AppendField("{\"time_to_first_token_ms\":", metrics.time_to_first_token_ms, out);
  AppendField(",\"queue_time_ms\":", metrics.queue_time_ms, out);
  AppendField(",\"generation_time_ms\":", metrics.generation_time_ms, out);
  AppendField(",\"tokens_per_second\":", metrics.tokens_per_second, out);
  *out += ",\"decoding\":{\"method\":";
  AppendJsonString(DecodingMethodName(metrics.method), out);
  AppendField(",\"passes\":", metrics.passes, out);
  AppendField(",\"tokens_per_pass\":", metrics.tokens_per_pass, out);
  *out += ",\"router\":";
  AppendRouter(metrics.router, out);
  *out += '}';
  if (metrics.speculative) {
    *out += ",\"speculative_decoding\":";
    AppendSpeculation(*metrics.speculative, out);
  }
  *out += '}';
}

// ,"logprobs":...,"finish_reason":...,"stop_reason":...
void AppendChoiceEnd(ReplyKind kind, const TokenFormat& format, const ChoiceDelta& delta, std::string* out) {
  *out += ",\"logprobs\":";
  if (!format.logprobs || delta.tokens.empty()) {
    *out += "null";
  } else if (kind == ReplyKind::kChat) {
    AppendChatLogprobs(*format.tokenizer, delta.tokens, out);
  } else {
    AppendCompletionLogprobs(*format.tokenizer, delta.tokens, out);
  }
  if (format.token_ids) {
    *out += ",\"token_ids\":[";
    for (std::size_t i = 0; i < delta.tokens.size(); ++i) {
      if (i > 0) *out += ',';
      AppendJsonNumber(delta.tokens[i].token.token, out);
    }
    *out += ']';
  }
  if (delta.finish_reason == FinishReason::kNone) {
    *out += ",\"finish_reason\":null";
    return;
  }
  *out += ",\"finish_reason\":";
  AppendJsonString(FinishReasonName(delta.finish_reason), out);
  *out += ",\"stop_reason\":";
  if (delta.stop_string) {
    AppendJsonString(*delta.stop_string, out);
  } else if (delta.stop_token) {
    AppendJsonNumber(*delta.stop_token, out);
  } else {
    *out += "null";
  }
}

// {"id":...,"object":...,"created":...,"model":...,"choices":
std::string FormatPrefix(const ReplyIdentity& identity, const char* completion, const char* chat) {
  const bool is_chat = identity.kind == ReplyKind::kChat;
  std::string out = "{\"id\":";
  AppendJsonString((is_chat ? "chatcmpl-" : "cmpl-") + identity.id, &out);
  out += ",\"object\":\"";
  out += is_chat ? chat : completion;
  out += "\",\"created\":";
  AppendJsonNumber(identity.created, &out);
  out += ",\"model\":";
  AppendJsonString(identity.model, &out);
  out += ",\"choices\":";
  return out;
}

}  // namespace

EventFormatter::EventFormatter(const ReplyIdentity& identity, const TokenFormat& tokens,
                               const ReplyOptions& options)
    : kind_(identity.kind),
      tokens_(tokens),
      options_(options),
      prefix_("data: " + FormatPrefix(identity, "text_completion", "chat.completion.chunk")) {}

void EventFormatter::AppendUsageField(const Usage& usage, std::string* out) const {
  if (!options_.include_usage && !options_.continuous_usage_stats) return;
  *out += ",\"usage\":";
  if (options_.continuous_usage_stats) {
    AppendUsage(usage, out);
  } else {
    *out += "null";
  }
}

void EventFormatter::AppendDelta(const ChoiceDelta& delta, const Usage& usage, std::string* out) {
  const auto index = static_cast<std::size_t>(delta.index);
  if (kind_ == ReplyKind::kChat && (introduced_.size() <= index || !introduced_[index])) {
    if (introduced_.size() <= index) introduced_.resize(index + 1);
    introduced_[index] = true;
    *out += prefix_;
    AppendField("[{\"index\":", delta.index, out);
    *out += ",\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]";
    AppendUsageField({.prompt_tokens = usage.prompt_tokens}, out);
    *out += "}\n\n";
  }
  *out += prefix_;
  AppendField("[{\"index\":", delta.index, out);
  if (kind_ == ReplyKind::kCompletion) {
    *out += ",\"text\":\"";
    AppendJsonEscaped(delta.text, out);
    *out += '"';
  } else if (delta.text.empty()) {
    *out += ",\"delta\":{}";
  } else {
    *out += ",\"delta\":{\"content\":\"";
    AppendJsonEscaped(delta.text, out);
    *out += "\"}";
  }
  AppendChoiceEnd(kind_, tokens_, delta, out);
  *out += "}]";
  AppendUsageField(usage, out);
  *out += "}\n\n";
}

void EventFormatter::AppendEnd(const Usage& usage, const CallMetrics& metrics, std::string* out) {
  if (options_.include_usage) {
    *out += prefix_;
    *out += "[],\"usage\":";
    AppendUsage(usage, out);
    *out += ",\"metrics\":";
    AppendMetrics(metrics, out);
    *out += "}\n\n";
  }
  *out += "data: [DONE]\n\n";
}

void EventFormatter::AppendError(const Status& status, std::string* out) {
  *out += "data: " + ErrorBody(status) + "\n\ndata: [DONE]\n\n";
}

std::string FormatReply(const ReplyIdentity& identity, const TokenFormat& tokens,
                        const std::vector<ChoiceDelta>& choices, const Usage& usage,
                        const CallMetrics& metrics) {
  std::string out = FormatPrefix(identity, "text_completion", "chat.completion");
  out += '[';
  for (const ChoiceDelta& choice : choices) {
    if (out.back() != '[') out += ',';
    AppendField("{\"index\":", choice.index, &out);
    if (identity.kind == ReplyKind::kCompletion) {
      out += ",\"text\":";
      AppendJsonString(choice.text, &out);
    } else {
      out += ",\"message\":{\"role\":\"assistant\",\"content\":";
      AppendJsonString(choice.text, &out);
      out += ",\"refusal\":null}";
    }
    AppendChoiceEnd(identity.kind, tokens, choice, &out);
    out += '}';
  }
  out += "],\"usage\":";
  AppendUsage(usage, &out);
  out += ",\"metrics\":";
  AppendMetrics(metrics, &out);
  out += '}';
  return out;
}

}  // namespace reprise
