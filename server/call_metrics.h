// What a reply says about how its call went: the `metrics` of HTTP and gRPC, summed over its choices.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "engine/token_stream.h"

namespace reprise {

// As in vLLM's metrics.speculative_decoding.
struct SpeculativeMetrics {
  double mean_acceptance_length = 0;  // tokens a verified draft gave, the model's own included
  double draft_acceptance_rate = 0;   // 0..1
  int num_spec_steps = 0;
  int num_draft_tokens = 0;
  int num_accepted_draft_tokens = 0;
  std::vector<int> acceptance_histogram;  // [k]: steps of which exactly k drafted tokens stood; last one > 0
};

// Steps that were decoded in one way for one reason.
struct RouterCount {
  std::optional<ProposerKind> proposer;  // unset: plain
  RouteReason reason = RouteReason::kRequested;
  int steps = 0;
};

// Times in milliseconds; over all choices the first token's, the longest queueing and the whole generation.
struct CallMetrics {
  double time_to_first_token_ms = 0;
  double queue_time_ms = 0;
  double generation_time_ms = 0;
  double tokens_per_second = 0;
  DecodingMethod method = DecodingMethod::kPlain;  // the one that gave most tokens
  int passes = 0;
  double tokens_per_pass = 0;
  std::vector<RouterCount> router;                // grouped by proposer, plain last; none with 0 steps
  std::optional<SpeculativeMetrics> speculative;  // when anything was drafted
};

// "recycle", "draft_model", "prompt_lookup" or "plain".
std::string_view RouterCountName(const RouterCount& count);

// `num_tokens` that the client got, which are fewer than were generated where a stop string ended a choice.
CallMetrics SummarizeCall(std::span<const RequestStats> choices, int num_tokens);

}  // namespace reprise
