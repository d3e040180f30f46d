#include "server/metrics/metrics.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "server/metrics/exposition.h"

namespace reprise {
namespace {

double Seconds(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

// Reasons the service can refuse for; their counters exist from the start.
constexpr std::string_view kRejectionReasons[] = {"queue_full", "unavailable"};

}  // namespace

Metrics::Metrics(int max_model_len) : state_(max_model_len) {
  for (std::string_view reason : kRejectionReasons) state_.rejections.emplace(reason, 0);
}

void Metrics::Describe(std::string model_name, const Engine* engine) {
  const std::lock_guard lock(mutex_);
  model_name_ = std::move(model_name);
  engine_ = engine;
  const std::vector<double> bounds = OneTwoFiveBuckets(engine->info().max_model_len);
  for (Histogram* histogram :
       {&state_.request_prompt_tokens, &state_.request_generation_tokens,
        &state_.request_max_num_generation_tokens, &state_.request_params_max_tokens}) {
    *histogram = Histogram(bounds);
  }
}

void Metrics::OnStep(const StepStats& step) {
  const std::lock_guard lock(mutex_);
  state_.step_plan.Observe(step.plan_seconds);
  state_.step_forward.Observe(step.forward_seconds);
  state_.step_sample.Observe(step.sample_seconds);
  state_.step_commit.Observe(step.commit_seconds);
  state_.iteration_tokens.Observe(step.num_tokens);
  state_.preemptions += static_cast<std::uint64_t>(step.num_preempted);
  state_.prefix_queries += static_cast<std::uint64_t>(step.prefix_queries);
  state_.prefix_hits += static_cast<std::uint64_t>(step.prefix_hits);

  state_.goodput = step.goodput;

  for (const StepStats::Emission& emission : step.emissions) {
    MetricsState::PerMethod& figures = state_.methods[static_cast<std::size_t>(emission.method)];
    figures.generation_tokens += static_cast<std::uint64_t>(emission.num_tokens);
    figures.tokens_per_pass.Observe(emission.num_tokens);
    ++figures.decisions[static_cast<std::size_t>(emission.reason)];
    (emission.first ? state_.time_to_first_token : state_.inter_token_latency).Observe(emission.seconds);
    if (emission.proposer && emission.num_drafted > 0) ObserveDrafts(emission);
  }
}

void Metrics::ObserveDrafts(const StepStats::Emission& emission) {
  MetricsState::PerProposer& figures = state_.proposers[static_cast<std::size_t>(*emission.proposer)];
  ++figures.drafts;
  figures.draft_tokens += static_cast<std::uint64_t>(emission.num_drafted);
  figures.accepted_tokens += static_cast<std::uint64_t>(emission.num_accepted);
  for (int k = 0; k < emission.num_accepted; ++k) ++state_.accepted_by_position[static_cast<std::size_t>(k)];
}

void Metrics::OnFinished(const Request& request, const RequestStats& stats, FinishReason reason) {
  const std::lock_guard lock(mutex_);
  if (const auto call = endings_.find(request.id); call != endings_.end()) {
    CountEnd(stats.method, reason, call->second.reason);
    endings_.erase(call);
  } else {
    endings_[request.id] = {reason, stats.method};
  }
  state_.request_prompt_tokens.Observe(stats.num_prompt_tokens);
  state_.request_generation_tokens.Observe(stats.num_generated_tokens);
  state_.request_params_max_tokens.Observe(request.max_tokens);
  ObserveTimes(stats);
  ObserveGroup(request, stats.num_generated_tokens);
}

void Metrics::EndCall(RequestId id, FinishReason reason) {
  const std::lock_guard lock(mutex_);
  const auto engine = endings_.find(id);
  if (engine == endings_.end()) {
    endings_[id] = {reason, std::nullopt};
    return;
  }
  CountEnd(*engine->second.method, engine->second.reason, reason);
  endings_.erase(engine);
}

void Metrics::CountEnd(DecodingMethod method, FinishReason engine_reason, FinishReason call_reason) {
  const FinishReason reason = call_reason == FinishReason::kNone ? engine_reason : call_reason;
  ++state_.methods[static_cast<std::size_t>(method)].requests[static_cast<std::size_t>(reason)];
}

// A time that was never reached is the epoch.
void Metrics::ObserveTimes(const RequestStats& stats) {
  state_.e2e_latency.Observe(Seconds(stats.arrival, stats.finished));
  if (stats.scheduled == TimePoint{}) return;
  state_.prompt_tokens += static_cast<std::uint64_t>(stats.num_prompt_tokens);
  state_.queue_time.Observe(Seconds(stats.arrival, stats.scheduled));
  state_.inference_time.Observe(Seconds(stats.scheduled, stats.finished));
  if (stats.first_token == TimePoint{}) return;
  const double decode_seconds = Seconds(stats.first_token, stats.finished);
  state_.prefill_time.Observe(Seconds(stats.scheduled, stats.first_token));
  state_.decode_time.Observe(decode_seconds);
  if (stats.num_generated_tokens > 1) {
    state_.time_per_output_token.Observe(decode_seconds / (stats.num_generated_tokens - 1));
  }
}

void Metrics::ObserveGroup(const Request& request, int num_generated) {
  const auto found = groups_.find(request.group);
  if (found == groups_.end()) {
    state_.request_params_n.Observe(1);
    state_.request_max_num_generation_tokens.Observe(num_generated);
    return;
  }
  Group& group = found->second;
  group.max_generated = std::max(group.max_generated, num_generated);
  if (--group.remaining > 0) return;
  state_.request_params_n.Observe(group.n);
  state_.request_max_num_generation_tokens.Observe(group.max_generated);
  groups_.erase(found);
}

void Metrics::BeginGroup(RequestId group, int n) {
  if (n == 1) return;
  const std::lock_guard lock(mutex_);
  groups_[group] = {.n = n, .remaining = n};
}

void Metrics::DropGroup(RequestId group) {
  const std::lock_guard lock(mutex_);
  groups_.erase(group);
}

void Metrics::CountRejection(std::string_view reason) {
  const std::lock_guard lock(mutex_);
  ++state_.rejections[std::string(reason)];
}

void Metrics::CountClientDisconnect() {
  const std::lock_guard lock(mutex_);
  ++state_.client_disconnects;
}

std::uint64_t Metrics::client_disconnects() const {
  const std::lock_guard lock(mutex_);
  return state_.client_disconnects;
}

std::string Metrics::Text() const {
  MetricsContext context;
  const MetricsState snapshot = [&] {
    const std::lock_guard lock(mutex_);
    context.model_name = model_name_;
    if (engine_ != nullptr) context.engine = engine_->info();
    if (engine_ != nullptr) context.state = engine_->state();
    return state_;
  }();
  return FormatMetrics(snapshot, context);
}

}  // namespace reprise
