// Drawing tokens from rows of logits, as a device needs to be told: plain structs, copied byte by byte,
// without padding. The meaning is that of engine/logits_processor.h, sampler.h and decoding/verifier.h, with
// the same noise (base/noise.h), so that the same tokens come out.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/types.h"

namespace reprise {

// What happens to one logit before anything else: + bias (-infinity for a banned token); then, of a token
// that the request has seen, divided by the row's `repetition` if positive and multiplied by it if not; then,
// of one that it has generated, - (frequency * count + presence).
struct LogitAdjustment {
  static constexpr int kUnseen = -1;

  TokenId token = 0;
  float bias = 0.0f;
  int count = kUnseen;  // how often it was generated; 0: it is in the prompt alone
};

enum class DrawRule : std::uint32_t {
  kNone,       // no token (-1): of no interest
  kGiven,      // the token is `drafted`
  kSample,     // the argmax; with a temperature of logit / T + Gumbel noise of `noise_stream`, over what the
               // filters leave
  kDraft,      // from the filtered distribution, by the uniform number of `noise_stream`: a draft's own draw
  kThreshold,  // `drafted` if its logit + `lenience` reaches the largest, else the argmax
  kRejection,  // `drafted` if the uniform number of accept_stream < p(drafted)^lenience / q(drafted), else
               // from norm(max(0, p - q)) by that of `noise_stream`
};

// How the token of one row is drawn. Of equals the lower token wins; no token (-1) where no logit is finite.
struct RowDraw {
  std::uint64_t noise_stream = 0;   // base/noise.h
  std::uint64_t accept_stream = 0;  // kRejection
  // kRejection: the row that `drafted` was drawn from by kDraft, adjusted, as `keep` had it written, with the
  // filters of this one; nullptr: the draft was sure of it. draft_ids as DrawArgs::ids.
  const float* draft_logits = nullptr;
  const TokenId* draft_ids = nullptr;
  float* keep = nullptr;  // where the adjusted row goes, for a later kRejection; nullptr: nowhere
  int draft_columns = 0;
  TokenId drafted = -1;  // below zero: as BatchView::drawn has it
  DrawRule rule = DrawRule::kSample;
  float inverse_temperature = 0.0f;  // 0: greedy, which filters do not touch
  int top_k = 0;                     // 0: off
  float top_p = 1.0f;
  float log_min_p = -INFINITY;
  float lenience = 1.0f;  // kThreshold: its logarithm
  float repetition = 1.0f;
  float frequency = 0.0f;
  float presence = 0.0f;
  int first_adjustment = 0;
  int num_adjustments = 0;  // no token twice
  // Tokens generated besides those that the adjustments count, each as often as it is there, at most
  // kMaxAhead; in DrawArgs::ahead.
  int first_ahead = 0;
  int num_ahead = 0;
  int first_score = 0;    // in DrawArgs::scores
  int num_logprobs = -1;  // the likeliest to report beside the token itself; -1: report nothing
  int unused = 0;
};
static_assert(sizeof(RowDraw) == 5 * 8 + 18 * 4);

// Drafted tokens, and behind a step that still runs the one that it draws.
inline constexpr int kMaxAhead = kMaxDraftTokens + 1;

// A token's log-probability under the row as the model gave it (without DrawArgs::ids). Of a row that asks
// for n there are 1 + n: the drawn token's, then the likeliest, best first, with token -1 where there are no
// more.
struct TokenScore {
  TokenId token = -1;
  float logprob = 0.0f;
  int rank = 0;  // 1 + how many are likelier
};

}  // namespace reprise
