// The numbers behind /metrics, as plain data: Metrics guards one of these, and a scrape copies it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "engine/engine.h"
#include "scheduler/request.h"
#include "server/metrics/buckets.h"
#include "server/metrics/histogram.h"

namespace reprise {

inline constexpr int kNumFinishReasons = 6;  // FinishReason

struct MetricsState {
  explicit MetricsState(int max_model_len)
      : request_prompt_tokens(OneTwoFiveBuckets(max_model_len)),
        request_generation_tokens(OneTwoFiveBuckets(max_model_len)),
        request_max_num_generation_tokens(OneTwoFiveBuckets(max_model_len)),
        request_params_max_tokens(OneTwoFiveBuckets(max_model_len)) {}

  // Of each decoding method, indexed by DecodingMethod.
  struct PerMethod {
    std::array<std::uint64_t, kNumFinishReasons> requests{};
    std::uint64_t generation_tokens = 0;
    Histogram tokens_per_pass{TokensPerPassBuckets()};
    std::array<std::uint64_t, kNumRouteReasons> decisions{};  // sequences times steps, by RouteReason
  };
  std::array<PerMethod, kNumMethods> methods;
  std::array<double, kNumMethods> goodput{};  // of the latest step, by DecodingMethod

  // Of each proposer, indexed by ProposerKind.
  struct PerProposer {
    std::uint64_t drafts = 0;
    std::uint64_t draft_tokens = 0;
    std::uint64_t accepted_tokens = 0;
  };
  std::array<PerProposer, kNumProposers> proposers;
  std::array<std::uint64_t, kMaxDraftTokens> accepted_by_position{};

  std::uint64_t prompt_tokens = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t prefix_queries = 0;
  std::uint64_t prefix_hits = 0;
  std::uint64_t client_disconnects = 0;
  std::map<std::string, std::uint64_t, std::less<>> rejections;  // by reason

  Histogram time_to_first_token{TimeToFirstTokenBuckets()};
  Histogram inter_token_latency{TokenLatencyBuckets()};
  Histogram time_per_output_token{TokenLatencyBuckets()};
  Histogram e2e_latency{RequestLatencyBuckets()};
  Histogram queue_time{RequestLatencyBuckets()};
  Histogram prefill_time{RequestLatencyBuckets()};
  Histogram decode_time{RequestLatencyBuckets()};
  Histogram inference_time{RequestLatencyBuckets()};
  Histogram iteration_tokens{IterationTokenBuckets()};
  Histogram request_params_n{ChoiceBuckets()};
  Histogram request_prompt_tokens;
  Histogram request_generation_tokens;
  Histogram request_max_num_generation_tokens;
  Histogram request_params_max_tokens;

  Histogram step_plan{StepBuckets()};
  Histogram step_forward{StepBuckets()};
  Histogram step_sample{StepBuckets()};
  Histogram step_commit{StepBuckets()};
};

// What does not change while the model is served, and what is read at the moment of a scrape.
struct MetricsContext {
  std::string model_name;
  EngineInfo engine;
  EngineState state;
};

}  // namespace reprise
