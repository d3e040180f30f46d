#include "server/metrics/exposition.h"

#include <prometheus/collectable.h>
#include <prometheus/text_serializer.h>

#include <vector>

#include "server/metrics/family_builder.h"
#include "server/metrics/process_metrics.h"
#include "server/version.h"

namespace reprise {
namespace {

// Methods that requests can run by; auto is a choice among them.
constexpr DecodingMethod kMethods[] = {DecodingMethod::kPlain, DecodingMethod::kRecycle,
                                       DecodingMethod::kSpeculative};
constexpr FinishReason kReasons[] = {FinishReason::kStop, FinishReason::kLength, FinishReason::kAbort,
                                     FinishReason::kTimeout, FinishReason::kError};

const MetricsState::PerMethod& Of(const MetricsState& state, DecodingMethod method) {
  return state.methods[static_cast<std::size_t>(method)];
}

template <typename Field>
double Sum(const MetricsState& state, Field field) {
  std::uint64_t sum = 0;
  for (const MetricsState::PerMethod& method : state.methods) sum += field(method);
  return static_cast<double>(sum);
}

MetricLabels MethodLabel(DecodingMethod method) {
  return {{"method", std::string(DecodingMethodName(method))}};
}

void AddLoad(const MetricsContext& context, FamilyBuilder* out) {
  const EngineState& state = context.state;
  const EngineInfo& info = context.engine;
  out->Gauge("vllm:num_requests_running", "Number of requests in model execution batches.",
             state.num_running);
  out->Gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed.", state.num_waiting);
  out->Gauge("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", state.kv_usage);
  out->Gauge("vllm:cache_config_info", "Information of the KV cache's configuration.", 1,
             {{"block_size", std::to_string(info.block_size)},
              {"num_gpu_blocks", std::to_string(info.num_blocks)},
              {"kv_cache_bytes", std::to_string(info.kv_cache_bytes)}});
}

void AddCounters(const MetricsState& state, FamilyBuilder* out) {
  using Method = MetricsState::PerMethod;
  const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  out->Counter("vllm:prompt_tokens_total", "Number of prefill tokens processed.",
               number(state.prompt_tokens));
  out->Counter("vllm:generation_tokens_total", "Number of generation tokens processed.",
               Sum(state, [](const Method& m) { return m.generation_tokens; }));
  for (FinishReason reason : kReasons) {
    out->Counter("vllm:request_success_total", "Count of ended requests, by how they ended.",
                 Sum(state, [&](const Method& m) { return m.requests[static_cast<std::size_t>(reason)]; }),
                 {{"finished_reason", std::string(FinishReasonName(reason))}});
  }
  out->Counter("vllm:num_preemptions_total", "Cumulative number of preemptions.", number(state.preemptions));
  out->Counter("vllm:prefix_cache_queries_total", "Prefix cache queries, in tokens.",
               number(state.prefix_queries));
  out->Counter("vllm:prefix_cache_hits_total", "Prefix cache hits, in tokens.", number(state.prefix_hits));
}

void AddSpeculation(const MetricsState& state, FamilyBuilder* out) {
  std::uint64_t drafts = 0, drafted = 0, accepted = 0;
  for (const MetricsState::PerProposer& proposer : state.proposers) {
    drafts += proposer.drafts;
    drafted += proposer.draft_tokens;
    accepted += proposer.accepted_tokens;
  }
  out->Counter("vllm:spec_decode_num_drafts_total", "Number of drafts verified.",
               static_cast<double>(drafts));
  out->Counter("vllm:spec_decode_num_draft_tokens_total", "Number of draft tokens.",
               static_cast<double>(drafted));
  out->Counter("vllm:spec_decode_num_accepted_tokens_total", "Number of accepted draft tokens.",
               static_cast<double>(accepted));
  for (std::size_t position = 0; position < state.accepted_by_position.size(); ++position) {
    out->Counter("vllm:spec_decode_num_accepted_tokens_per_pos_total",
                 "Accepted draft tokens by their position in the draft.",
                 static_cast<double>(state.accepted_by_position[position]),
                 {{"position", std::to_string(position)}});
  }
}

void AddHistograms(const MetricsState& state, FamilyBuilder* out) {
  out->Histogram("vllm:time_to_first_token_seconds", "Time to first token in seconds.",
                 state.time_to_first_token);
  out->Histogram("vllm:inter_token_latency_seconds", "Inter-token latency in seconds.",
                 state.inter_token_latency);
  out->Histogram("vllm:request_time_per_output_token_seconds", "Mean time per output token of a request.",
                 state.time_per_output_token);
  out->Histogram("vllm:e2e_request_latency_seconds", "End-to-end request latency in seconds.",
                 state.e2e_latency);
  out->Histogram("vllm:request_queue_time_seconds", "Time a request waited.", state.queue_time);
  out->Histogram("vllm:request_prefill_time_seconds", "Time from the first step to the first token.",
                 state.prefill_time);
  out->Histogram("vllm:request_decode_time_seconds", "Time from the first token to the end.",
                 state.decode_time);
  out->Histogram("vllm:request_inference_time_seconds", "Time from the first step to the end.",
                 state.inference_time);
  out->Histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", state.request_prompt_tokens);
  out->Histogram("vllm:request_generation_tokens", "Generated tokens of a request.",
                 state.request_generation_tokens);
  out->Histogram("vllm:request_max_num_generation_tokens", "Most tokens generated by a choice of a request.",
                 state.request_max_num_generation_tokens);
  out->Histogram("vllm:request_params_n", "The n request parameter.", state.request_params_n);
  out->Histogram("vllm:request_params_max_tokens", "The max_tokens request parameter.",
                 state.request_params_max_tokens);
  out->Histogram("vllm:iteration_tokens_total", "Number of tokens per engine step.", state.iteration_tokens);
}

void AddMethodCounters(const MetricsState& state, FamilyBuilder* out) {
  for (DecodingMethod method : kMethods) {
    for (FinishReason reason : kReasons) {
      MetricLabels labels = MethodLabel(method);
      labels.push_back({"finished_reason", std::string(FinishReasonName(reason))});
      out->Counter("reprise:requests_total", "Ended requests by decoding method and how they ended.",
                   static_cast<double>(Of(state, method).requests[static_cast<std::size_t>(reason)]),
                   std::move(labels));
    }
  }
  for (DecodingMethod method : kMethods) {
    out->Counter("reprise:generation_tokens_total", "Generated tokens by decoding method.",
                 static_cast<double>(Of(state, method).generation_tokens), MethodLabel(method));
  }
}

void AddProposerCounters(const MetricsState& state, FamilyBuilder* out) {
  const auto add = [&](const char* name, const char* help, auto field) {
    for (int p = 0; p < kNumProposers; ++p) {
      const auto kind = static_cast<ProposerKind>(p);
      MetricLabels labels = MethodLabel(MethodOf(kind));
      labels.push_back({"proposer", std::string(ProposerName(kind))});
      out->Counter(name, help, static_cast<double>(state.proposers[static_cast<std::size_t>(p)].*field),
                   std::move(labels));
    }
  };
  add("reprise:draft_tokens_total", "Drafted tokens by who drafted them.",
      &MetricsState::PerProposer::draft_tokens);
  add("reprise:accepted_tokens_total", "Drafted tokens that stood, by who drafted them.",
      &MetricsState::PerProposer::accepted_tokens);
}

void AddRouter(const MetricsState& state, FamilyBuilder* out) {
  for (DecodingMethod method : kMethods) {
    out->Histogram("reprise:tokens_per_pass", "Tokens one sequence got from one pass of the model.",
                   Of(state, method).tokens_per_pass, MethodLabel(method));
  }
  for (DecodingMethod method : kMethods) {
    for (int r = 0; r < kNumRouteReasons; ++r) {
      MetricLabels labels = MethodLabel(method);
      labels.push_back({"reason", std::string(RouteReasonName(static_cast<RouteReason>(r)))});
      out->Counter(
          "reprise:router_decisions_total", "Steps of sequences by decoding method and why it was taken.",
          static_cast<double>(Of(state, method).decisions[static_cast<std::size_t>(r)]), std::move(labels));
    }
  }
  for (DecodingMethod method : kMethods) {
    out->Gauge("reprise:router_goodput_tokens_per_second",
               "The router's estimate for the latest batch, if all of it were decoded so; 0 is none.",
               state.goodput[static_cast<std::size_t>(method)], MethodLabel(method));
  }
}

void AddServer(const MetricsState& state, const MetricsContext& context, FamilyBuilder* out) {
  const char* step_help = "Time of one engine step by phase.";
  out->Histogram("reprise:step_seconds", step_help, state.step_plan, {{"phase", "plan"}});
  out->Histogram("reprise:step_seconds", step_help, state.step_forward, {{"phase", "forward"}});
  out->Histogram("reprise:step_seconds", step_help, state.step_sample, {{"phase", "sample"}});
  out->Histogram("reprise:step_seconds", step_help, state.step_commit, {{"phase", "commit"}});
  for (const auto& [reason, count] : state.rejections) {
    out->Counter("reprise:queue_rejections_total", "Calls refused because the queue was full or closed.",
                 static_cast<double>(count), {{"reason", reason}});
  }
  out->Counter("reprise:client_disconnects_total", "Calls whose client went away before their end.",
               static_cast<double>(state.client_disconnects));
  out->Gauge("reprise:build_info", "The build that is running.", 1,
             {{"version", kServerVersion}, {"backend", context.engine.backend}});
  out->Gauge("reprise:engine_last_step_timestamp_seconds", "Unix time of the last finished engine step.",
             context.state.last_step_unix_seconds);
}

void AddProcess(FamilyBuilder* out) {
  const ProcessMetrics process = ReadProcessMetrics();
  out->ProcessCounter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
                      process.cpu_seconds);
  out->ProcessGauge("process_resident_memory_bytes", "Resident memory size in bytes.",
                    static_cast<double>(process.resident_bytes));
  out->ProcessGauge("process_virtual_memory_bytes", "Virtual memory size in bytes.",
                    static_cast<double>(process.virtual_bytes));
  out->ProcessGauge("process_open_fds", "Number of open file descriptors.",
                    static_cast<double>(process.open_fds));
  out->ProcessGauge("process_max_fds", "Maximum number of open file descriptors.",
                    static_cast<double>(process.max_fds));
  out->ProcessGauge("process_threads", "Number of threads.", static_cast<double>(process.num_threads));
  out->ProcessGauge("process_start_time_seconds",
                    "Start time of the process since the Unix epoch in seconds.", process.start_time_seconds);
}

// A copy of the numbers, seen by prometheus-cpp.
class Snapshot final : public prometheus::Collectable {
 public:
  Snapshot(const MetricsState& state, const MetricsContext& context) : state_(state), context_(context) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    FamilyBuilder builder({{"model_name", context_.model_name}, {"engine", "0"}});
    AddLoad(context_, &builder);
    AddCounters(state_, &builder);
    AddSpeculation(state_, &builder);
    AddHistograms(state_, &builder);
    AddMethodCounters(state_, &builder);
    AddProposerCounters(state_, &builder);
    AddRouter(state_, &builder);
    AddServer(state_, context_, &builder);
    AddProcess(&builder);
    return builder.Take();
  }

 private:
  const MetricsState& state_;
  const MetricsContext& context_;
};

}  // namespace

std::string FormatMetrics(const MetricsState& state, const MetricsContext& context) {
  // Name the base: Serializer's overload that returns a string.
  return static_cast<const prometheus::Serializer&>(prometheus::TextSerializer())
      .Serialize(Snapshot(state, context).Collect());
}

}  // namespace reprise
