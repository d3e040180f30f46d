// Between the messages of proto/reprise/v1 and the structs of the service.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "models/tokenizer/tokenizer.h"
#include "reprise/v1/generation.pb.h"
#include "server/api.h"
#include "server/generation_call.h"

namespace reprise {

// INVALID_ARGUMENT when there is not exactly one kind of prompt.
Result<CompletionRequest> FromProto(const v1::GenerateRequest& proto);
Result<ChatRequest> FromProto(const v1::ChatRequest& proto);
Result<TokenizeRequest> FromProto(const v1::TokenizeRequest& proto);
Result<DetokenizeRequest> FromProto(const v1::DetokenizeRequest& proto);

// What of a choice's tokens is shown.
struct ProtoTokenFormat {
  const Tokenizer* tokenizer = nullptr;
  bool logprobs = false;
  bool token_ids = false;
};

void ToProto(const ChoiceDelta& delta, const ProtoTokenFormat& format, v1::GenerateChunk* out);
// Adds the delta to what the choice has so far.
void MergeIntoProto(const ChoiceDelta& delta, const ProtoTokenFormat& format, v1::Choice* out);
void ToProto(const Usage& usage, v1::Usage* out);
void ToProto(const CallMetrics& metrics, v1::Metrics* out);

}  // namespace reprise
