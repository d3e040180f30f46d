// What the engine hands back for one request: tokens as they are accepted, then one ending. The engine never
// waits for the reader: there is room for every token the request may get.
#pragma once

#include <array>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "engine/route.h"
#include "scheduler/request.h"

namespace reprise {

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0.0f;  // natural log, of the model's distribution before temperature and filters
  int rank = 0;          // 1: the most likely
};

struct GeneratedToken {
  TokenId token = 0;
  float logprob = 0.0f;  // set when the request asks for log-probabilities
  int rank = 0;
  std::vector<TokenLogprob> top;  // the most likely tokens, best first; num_logprobs of them
};

// Counters and times of one request, final when its stream has ended. Times on the engine's steady clock.
struct RequestStats {
  TimePoint arrival{};
  TimePoint scheduled{};    // first step that computed any of it
  TimePoint first_token{};  // first token accepted
  TimePoint finished{};
  int num_prompt_tokens = 0;
  int num_cached_tokens = 0;  // of the prompt, found in the prefix cache
  int num_generated_tokens = 0;
  int num_preemptions = 0;
  DecodingMethod method = DecodingMethod::kPlain;  // the one used most
  int num_passes = 0;                              // of the target, that gave this request at least one token
  std::uint64_t seed = 0;                          // the noise seed used, also when it was drawn
  // Drafting, summed over steps.
  int num_draft_steps = 0;
  int num_draft_tokens = 0;
  int num_accepted_draft_tokens = 0;
  // [k]: steps whose draft stood in its first k tokens and no more.
  std::array<int, kMaxDraftTokens + 1> acceptance_histogram = {};
  std::array<int, kNumMethods> tokens_by_method = {};  // by DecodingMethod
  // Steps by who drafted (ProposerKind; the last for plain) and why.
  std::array<std::array<int, kNumRouteReasons>, kNumProposers + 1> routes = {};
};

// Everything that became available since the last Take.
struct TokenBatch {
  std::vector<GeneratedToken>
      prompt;  // with prompt_logprobs: one entry a prompt token (the first has no logprob), once
  std::vector<GeneratedToken> tokens;
  bool finished = false;
  FinishReason finish_reason = FinishReason::kNone;
  Status status;       // not OK when finish_reason is kError
  RequestStats stats;  // when finished
};

// Written by the engine thread, read by one consumer on any thread.
class TokenStream {
 public:
  explicit TokenStream(std::shared_ptr<const Request> request) : request_(std::move(request)) {}

  const Request& request() const { return *request_; }

  // --- consumer
  // Called (on the engine thread, or at once on the caller's when something is there already) each time the
  // stream turns from drained to holding something. Must be quick and must not call back into the stream; at
  // most one listener.
  void SetListener(std::function<void()> listener);
  // Takes what is there; never blocks. After a batch with finished = true the stream is empty for good.
  TokenBatch Take();
  // Blocks until something can be taken.
  void Wait();

  // --- engine, one thread
  // What is pushed can be taken once it is published or the stream ends: a step's tokens arrive together, and
  // the last ones with the end.
  void PushPrompt(std::vector<GeneratedToken> prompt);
  void Push(GeneratedToken token);
  // Tells the listener about everything pushed since the last call: one call a step and stream.
  void Publish();
  void Finish(FinishReason reason, Status status, const RequestStats& stats);

 private:
  void MovePushed();

  const std::shared_ptr<const Request> request_;
  TokenBatch pushed_;  // not yet published; the engine's thread only
  std::mutex mutex_;
  std::condition_variable ready_;
  TokenBatch batch_;
  bool notified_ = false;  // the listener has been told and has not taken yet
  bool ended_ = false;
  std::function<void()> listener_;
};

}  // namespace reprise
