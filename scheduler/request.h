// One generation call as the engine sees it: token ids in, limits, and how to sample. No text, no transport.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/types.h"

namespace reprise {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

inline constexpr int kMaxLogprobs = 20;

// How to draw the next token. Values have been validated by the service; the comments give the allowed
// ranges.
struct SamplingParams {
  float temperature = 1.0f;                           // [0, 2]; 0 is greedy
  float top_p = 1.0f;                                 // (0, 1]
  int top_k = 0;                                      // >= 0; 0: off
  float min_p = 0.0f;                                 // [0, 1]
  float presence_penalty = 0.0f;                      // [-2, 2]
  float frequency_penalty = 0.0f;                     // [-2, 2]
  float repetition_penalty = 1.0f;                    // (0, 2]
  std::vector<std::pair<TokenId, float>> logit_bias;  // added to logits; each in [-100, 100]
  // The noise seed. Unseeded requests get a random one, drawn at admission.
  std::uint64_t seed = 0;
  bool seeded = false;
  // Top alternatives to report beside each sampled token's own log-probability, at most kMaxLogprobs; -1:
  // report none at all.
  int num_logprobs = -1;
};

enum class DecodingMethod : std::uint8_t { kAuto, kPlain, kRecycle, kSpeculative };
inline constexpr int kNumMethods = 4;
std::string_view DecodingMethodName(DecodingMethod method);  // "auto", "plain", "recycle", "speculative"

// Who guesses tokens. The recycle method has one proposer, the speculative method two.
enum class ProposerKind : std::uint8_t { kRecycle, kDraftModel, kPromptLookup };
inline constexpr int kNumProposers = 3;
constexpr std::size_t IndexOf(ProposerKind kind) {
  return static_cast<std::size_t>(kind);
}
std::string_view ProposerName(ProposerKind kind);  // "recycle", "draft_model", "prompt_lookup"
constexpr DecodingMethod MethodOf(ProposerKind kind) {
  return kind == ProposerKind::kRecycle ? DecodingMethod::kRecycle : DecodingMethod::kSpeculative;
}

enum class FinishReason : std::uint8_t {
  kNone,     // still running
  kStop,     // an end-of-sequence or stop token
  kLength,   // max_tokens or the context length
  kAbort,    // cancelled by the client or at shutdown
  kTimeout,  // its deadline passed
  kError,    // the engine failed
};
std::string_view FinishReasonName(FinishReason reason);  // "stop", "length", "abort", "timeout", "error"

// One choice of one call: a call with n = 3 is three requests with the same `group` and choices 0, 1, 2.
// Immutable once submitted.
struct Request {
  RequestId id = 0;
  std::vector<TokenId> prompt;  // at least one token
  SamplingParams sampling;
  int max_tokens = 0;  // tokens to generate; 0 only with prompt_logprobs or to fill the cache
  int min_tokens = 0;  // end-of-sequence and stop tokens are masked before that many
  // Tokens that end generation: the model's end-of-sequence ids unless ignore_eos, and stop_token_ids.
  std::vector<TokenId> stop_token_ids;
  // Log-probabilities of the prompt's tokens, with that many alternatives each, at most kMaxLogprobs; -1:
  // none. Bypasses the prefix cache.
  int prompt_logprobs = -1;
  DecodingMethod decoding = DecodingMethod::kAuto;
  std::optional<ProposerKind> proposer;  // only this one may draft; else any that belongs to the method
  // Longest draft; unset: the method's own choice. [0, kMaxDraftTokens]; 0 never drafts.
  std::optional<int> max_draft_tokens;
  // 1: lossless. Below, drafted tokens are accepted more readily (engine/decoding/rule.h); 0 with recycle is
  // RecycleGPT's own alternation, without verification. [0, 1]
  float lenience = 1.0f;
  int priority = 0;          // lower first
  RequestId group = 0;       // id of choice 0; the others share its prompt
  std::uint32_t choice = 0;  // index among n
  TimePoint arrival{};
  std::optional<TimePoint> deadline;
};

}  // namespace reprise
