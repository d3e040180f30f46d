#include "server/metrics/metrics.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <string>

namespace reprise {
namespace {

RequestStats Stats(int generated) {
  const TimePoint start = Clock::now();
  RequestStats stats;
  stats.arrival = start;
  stats.scheduled = start + std::chrono::milliseconds(10);
  stats.first_token = start + std::chrono::milliseconds(30);
  stats.finished = start + std::chrono::milliseconds(130);
  stats.num_prompt_tokens = 7;
  stats.num_generated_tokens = generated;
  return stats;
}

Request MakeRequest(RequestId id, RequestId group) {
  Request request;
  request.id = id;
  request.group = group;
  request.max_tokens = 20;
  return request;
}

bool Has(const std::string& text, const std::string& line) {
  return text.find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("Every series is there from the start", "[metrics]") {
  const std::string text = Metrics(128).Text();
  for (const char* name : {"vllm:num_requests_running",
                           "vllm:num_requests_waiting",
                           "vllm:kv_cache_usage_perc",
                           "vllm:cache_config_info",
                           "vllm:prompt_tokens_total",
                           "vllm:generation_tokens_total",
                           "vllm:request_success_total",
                           "vllm:num_preemptions_total",
                           "vllm:prefix_cache_queries_total",
                           "vllm:prefix_cache_hits_total",
                           "vllm:spec_decode_num_drafts_total",
                           "vllm:spec_decode_num_draft_tokens_total",
                           "vllm:spec_decode_num_accepted_tokens_total",
                           "vllm:spec_decode_num_accepted_tokens_per_pos_total",
                           "vllm:time_to_first_token_seconds_bucket",
                           "vllm:inter_token_latency_seconds_bucket",
                           "vllm:e2e_request_latency_seconds_bucket",
                           "vllm:request_queue_time_seconds_bucket",
                           "vllm:request_prefill_time_seconds_bucket",
                           "vllm:request_decode_time_seconds_bucket",
                           "vllm:request_inference_time_seconds_bucket",
                           "vllm:request_time_per_output_token_seconds_bucket",
                           "vllm:request_prompt_tokens_bucket",
                           "vllm:request_generation_tokens_bucket",
                           "vllm:request_max_num_generation_tokens_bucket",
                           "vllm:request_params_n_bucket",
                           "vllm:request_params_max_tokens_bucket",
                           "vllm:iteration_tokens_total_bucket",
                           "reprise:requests_total",
                           "reprise:generation_tokens_total",
                           "reprise:draft_tokens_total",
                           "reprise:accepted_tokens_total",
                           "reprise:tokens_per_pass_bucket",
                           "reprise:router_decisions_total",
                           "reprise:router_goodput_tokens_per_second",
                           "reprise:step_seconds_bucket",
                           "reprise:queue_rejections_total",
                           "reprise:client_disconnects_total",
                           "reprise:build_info",
                           "reprise:engine_last_step_timestamp_seconds",
                           "process_cpu_seconds_total",
                           "process_resident_memory_bytes",
                           "process_open_fds",
                           "process_start_time_seconds"}) {
    INFO(name);
    CHECK(text.find("\n" + std::string(name)) != std::string::npos);
  }
  CHECK(Has(text, "# TYPE vllm:num_requests_running gauge"));
  CHECK(Has(text, "# TYPE vllm:prompt_tokens_total counter"));
  CHECK(Has(text, "# TYPE vllm:time_to_first_token_seconds histogram"));
  CHECK(Has(text, R"(vllm:request_success_total{model_name="",engine="0",finished_reason="stop"} 0)"));
}

TEST_CASE("A step's figures add up", "[metrics]") {
  Metrics metrics(128);
  const StepStats::Emission emissions[] = {{1, true, 0.02, DecodingMethod::kPlain},
                                           {3, false, 0.004, DecodingMethod::kSpeculative}};
  StepStats step;
  step.forward_seconds = 0.01;
  step.num_tokens = 9;
  step.num_preempted = 2;
  step.prefix_queries = 32;
  step.prefix_hits = 16;
  step.emissions = emissions;
  metrics.OnStep(step);
  metrics.OnStep(step);
  const std::string text = metrics.Text();
  const std::string common = R"({model_name="",engine="0")";
  CHECK(Has(text, "vllm:generation_tokens_total" + common + "} 8"));
  CHECK(Has(text, "vllm:num_preemptions_total" + common + "} 4"));
  CHECK(Has(text, "vllm:prefix_cache_queries_total" + common + "} 64"));
  CHECK(Has(text, "vllm:prefix_cache_hits_total" + common + "} 32"));
  CHECK(Has(text, "vllm:iteration_tokens_total_sum" + common + "} 18"));
  CHECK(Has(text, "vllm:time_to_first_token_seconds_count" + common + "} 2"));
  CHECK(Has(text, "vllm:time_to_first_token_seconds_bucket" + common + R"(,le="0.01"} 0)"));
  CHECK(Has(text, "vllm:time_to_first_token_seconds_bucket" + common + R"(,le="0.02"} 2)"));
  CHECK(Has(text, "vllm:inter_token_latency_seconds_count" + common + "} 2"));
  CHECK(Has(text, "reprise:generation_tokens_total" + common + R"(,method="plain"} 2)"));
  CHECK(Has(text, "reprise:generation_tokens_total" + common + R"(,method="speculative"} 6)"));
  CHECK(Has(text, "reprise:tokens_per_pass_sum" + common + R"(,method="speculative"} 6)"));
  CHECK(Has(text, "reprise:step_seconds_count" + common + R"(,phase="forward"} 2)"));
}

TEST_CASE("Drafts count by who drafted, positions by how far they stood", "[metrics]") {
  Metrics metrics(128);
  using enum DecodingMethod;
  const StepStats::Emission emissions[] = {
      {1, true, 0.02, kPlain, std::nullopt, 0, 0, RouteReason::kNothingToDraft},
      {3, false, 0.004, kSpeculative, ProposerKind::kPromptLookup, 4, 2, RouteReason::kGoodput},
      {1, false, 0.004, kSpeculative, ProposerKind::kDraftModel, 3, 0, RouteReason::kExploration},
      {2, false, 0.004, kRecycle, ProposerKind::kRecycle, 1, 1, RouteReason::kRequested}};
  StepStats step;
  step.emissions = emissions;
  step.goodput[static_cast<std::size_t>(kSpeculative)] = 123;
  metrics.OnStep(step);
  const std::string text = metrics.Text();
  const std::string common = R"({model_name="",engine="0")";
  CHECK(Has(text, "vllm:spec_decode_num_drafts_total" + common + "} 3"));
  CHECK(Has(text, "vllm:spec_decode_num_draft_tokens_total" + common + "} 8"));
  CHECK(Has(text, "vllm:spec_decode_num_accepted_tokens_total" + common + "} 3"));
  const auto position = [&](int at, int count) {
    return Has(text, "vllm:spec_decode_num_accepted_tokens_per_pos_total" + common + R"(,position=")" +
                         std::to_string(at) + "\"} " + std::to_string(count));
  };
  CHECK(position(0, 2));
  CHECK(position(1, 1));
  CHECK(position(2, 0));
  CHECK(position(kMaxDraftTokens - 1, 0));
  const auto tokens = [&](const std::string& name, const std::string& labels, int count) {
    return Has(text, "reprise:" + name + "_tokens_total" + common + labels + "} " + std::to_string(count));
  };
  CHECK(tokens("draft", R"(,method="speculative",proposer="prompt_lookup")", 4));
  CHECK(tokens("accepted", R"(,method="speculative",proposer="prompt_lookup")", 2));
  CHECK(tokens("draft", R"(,method="speculative",proposer="draft_model")", 3));
  CHECK(tokens("accepted", R"(,method="speculative",proposer="draft_model")", 0));
  CHECK(tokens("draft", R"(,method="recycle",proposer="recycle")", 1));
  CHECK(tokens("accepted", R"(,method="recycle",proposer="recycle")", 1));
  const auto decided = [&](const std::string& method, const std::string& reason, int count) {
    return Has(text, "reprise:router_decisions_total" + common + R"(,method=")" + method + R"(",reason=")" +
                         reason + "\"} " + std::to_string(count));
  };
  CHECK(decided("plain", "nothing_to_draft", 1));
  CHECK(decided("speculative", "goodput", 1));
  CHECK(decided("speculative", "exploration", 1));
  CHECK(decided("recycle", "requested", 1));
  CHECK(decided("recycle", "goodput", 0));
  CHECK(Has(text, "reprise:router_goodput_tokens_per_second" + common + R"(,method="speculative"} 123)"));
  CHECK(Has(text, "reprise:router_goodput_tokens_per_second" + common + R"(,method="plain"} 0)"));
}

TEST_CASE("An ended request is counted once, by reason and method", "[metrics]") {
  Metrics metrics(128);
  metrics.OnFinished(MakeRequest(1, 1), Stats(11), FinishReason::kLength);
  metrics.EndCall(1, FinishReason::kLength);
  const std::string text = metrics.Text();
  const std::string common = R"({model_name="",engine="0")";
  CHECK(Has(text, "vllm:request_success_total" + common + R"(,finished_reason="length"} 1)"));
  CHECK(Has(text, "vllm:request_success_total" + common + R"(,finished_reason="stop"} 0)"));
  CHECK(Has(text, "reprise:requests_total" + common + R"(,method="plain",finished_reason="length"} 1)"));
  CHECK(Has(text, "vllm:prompt_tokens_total" + common + "} 7"));
  CHECK(Has(text, "vllm:request_generation_tokens_sum" + common + "} 11"));
  CHECK(Has(text, "vllm:request_params_max_tokens_sum" + common + "} 20"));
  CHECK(Has(text, "vllm:request_params_n_sum" + common + "} 1"));
  CHECK(Has(text, "vllm:e2e_request_latency_seconds_count" + common + "} 1"));
  CHECK(Has(text, "vllm:request_decode_time_seconds_bucket" + common + R"(,le="0.3"} 1)"));
  // (130 - 30) ms over 10 further tokens.
  CHECK(Has(text, "vllm:request_time_per_output_token_seconds_bucket" + common + R"(,le="0.005"} 0)"));
  CHECK(Has(text, "vllm:request_time_per_output_token_seconds_bucket" + common + R"(,le="0.025"} 1)"));
}

TEST_CASE("A request that never ran has no running times", "[metrics]") {
  Metrics metrics(128);
  RequestStats stats = Stats(0);
  stats.scheduled = stats.first_token = TimePoint{};
  metrics.OnFinished(MakeRequest(1, 1), stats, FinishReason::kAbort);
  const std::string text = metrics.Text();
  const std::string common = R"({model_name="",engine="0"})";
  CHECK(Has(text, "vllm:e2e_request_latency_seconds_count" + common + " 1"));
  CHECK(Has(text, "vllm:request_queue_time_seconds_count" + common + " 0"));
  CHECK(Has(text, "vllm:prompt_tokens_total" + common + " 0"));
}

TEST_CASE("A request ends as its client was told, whoever is first to end it", "[metrics]") {
  Metrics metrics(128);
  const auto ended = [&](const std::string& reason, int count) {
    return Has(metrics.Text(), R"(vllm:request_success_total{model_name="",engine="0",finished_reason=")" +
                                   reason + "\"} " + std::to_string(count));
  };
  // The engine reached max_tokens before a stop string was found in what it had generated.
  metrics.OnFinished(MakeRequest(1, 1), Stats(3), FinishReason::kLength);
  CHECK(ended("length", 0));
  metrics.EndCall(1, FinishReason::kStop);
  CHECK(ended("stop", 1));
  // The call went away after it had told its client.
  metrics.EndCall(2, FinishReason::kStop);
  CHECK(ended("stop", 1));
  metrics.OnFinished(MakeRequest(2, 2), Stats(3), FinishReason::kAbort);
  CHECK(ended("stop", 2));
  // The client went away untold: the engine's reason holds, in either order.
  metrics.EndCall(3, FinishReason::kNone);
  metrics.OnFinished(MakeRequest(3, 3), Stats(3), FinishReason::kAbort);
  metrics.OnFinished(MakeRequest(4, 4), Stats(3), FinishReason::kAbort);
  metrics.EndCall(4, FinishReason::kNone);
  CHECK(ended("abort", 2));
  CHECK(ended("stop", 2));
  CHECK(ended("length", 0));
}

TEST_CASE("The choices of one prompt make one observation of n and of the longest", "[metrics]") {
  Metrics metrics(128);
  metrics.BeginGroup(1, 3);
  for (RequestId id = 1; id <= 3; ++id) {
    metrics.OnFinished(MakeRequest(id, 1), Stats(10 * static_cast<int>(id)), FinishReason::kStop);
  }
  const std::string text = metrics.Text();
  const std::string common = R"({model_name="",engine="0"})";
  CHECK(Has(text, "vllm:request_params_n_count" + common + " 1"));
  CHECK(Has(text, "vllm:request_params_n_sum" + common + " 3"));
  CHECK(Has(text, "vllm:request_max_num_generation_tokens_count" + common + " 1"));
  CHECK(Has(text, "vllm:request_max_num_generation_tokens_sum" + common + " 30"));
}

}  // namespace reprise
