// Replies in OpenAI's shapes: whole ones, and server-sent events.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/tokenizer/tokenizer.h"
#include "server/generation_call.h"
#include "server/http/openai_request.h"

namespace reprise {

enum class ReplyKind { kCompletion, kChat };

struct ReplyIdentity {
  ReplyKind kind = ReplyKind::kCompletion;
  std::string id;  // without "cmpl-" or "chatcmpl-"
  std::string model;
  std::int64_t created = 0;  // Unix seconds
};

// What of a choice's tokens is shown.
struct TokenFormat {
  const Tokenizer* tokenizer = nullptr;
  bool logprobs = false;
  bool token_ids = false;
};

// Writes the events of one stream. What does not change from event to event is written once.
class EventFormatter {
 public:
  EventFormatter(const ReplyIdentity& identity, const TokenFormat& tokens, const ReplyOptions& options);

  // One event; for the first news of a chat's choice, the event that gives its role before it.
  // `usage`: so far, with continuous_usage_stats.
  void AppendDelta(const ChoiceDelta& delta, const Usage& usage, std::string* out);
  // The end: usage and metrics if they are wanted, and [DONE].
  void AppendEnd(const Usage& usage, const CallMetrics& metrics, std::string* out);
  // The engine failed after the stream had begun.
  static void AppendError(const Status& status, std::string* out);

 private:
  void AppendUsageField(const Usage& usage, std::string* out) const;

  const ReplyKind kind_;
  const TokenFormat tokens_;
  const ReplyOptions options_;
  std::string prefix_;            // up to the choices
  std::vector<bool> introduced_;  // chat: the choice's role has been sent
};

// `choices` in order of their index.
std::string FormatReply(const ReplyIdentity& identity, const TokenFormat& tokens,
                        const std::vector<ChoiceDelta>& choices, const Usage& usage,
                        const CallMetrics& metrics);

}  // namespace reprise
