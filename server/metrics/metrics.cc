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

// Weight of the newest step in the moving average of goodput.
constexpr double kGoodputWeight = 0.05;

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

  std::array<int, kNumMethods> step_tokens{};
  for (const StepStats::Emission& emission : step.emissions) {
    const auto method = static_cast<std::size_t>(emission.method);
    step_tokens[method] += emission.num_tokens;
    state_.methods[method].tokens_per_pass.Observe(emission.num_tokens);
    (emission.first ? state_.time_to_first_token : state_.inter_token_latency).Observe(emission.seconds);
  }
  const double seconds = step.plan_seconds + step.forward_seconds + step.sample_seconds + step.commit_seconds;
  for (std::size_t method = 0; method < step_tokens.size(); ++method) {
    if (step_tokens[method] == 0) continue;
    MetricsState::PerMethod& figures = state_.methods[method];
    figures.generation_tokens += static_cast<std::uint64_t>(step_tokens[method]);
    if (seconds <= 0) continue;
    const double rate = step_tokens[method] / seconds;
    figures.goodput =
        figures.goodput == 0 ? rate : figures.goodput + kGoodputWeight * (rate - figures.goodput);
  }
}

void Metrics::OnFinished(const Request& request, const RequestStats& stats, FinishReason reason) {
  const std::lock_guard lock(mutex_);
  if (reason == FinishReason::kAbort && stopped_.contains(request.id)) reason = FinishReason::kStop;

  MetricsState::PerMethod& figures = state_.methods[static_cast<std::size_t>(stats.method)];
  ++figures.requests[static_cast<std::size_t>(reason)];
  ++(request.decoding == DecodingMethod::kAuto ? figures.decided_only_method : figures.decided_requested);
  figures.draft_steps += static_cast<std::uint64_t>(stats.num_draft_steps);
  figures.draft_tokens += static_cast<std::uint64_t>(stats.num_draft_tokens);
  figures.accepted_tokens += static_cast<std::uint64_t>(stats.num_accepted_draft_tokens);

  state_.request_prompt_tokens.Observe(stats.num_prompt_tokens);
  state_.request_generation_tokens.Observe(stats.num_generated_tokens);
  state_.request_params_max_tokens.Observe(request.max_tokens);
  ObserveTimes(stats);
  ObserveGroup(request, stats.num_generated_tokens);
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

void Metrics::MarkStopped(RequestId id) {
  const std::lock_guard lock(mutex_);
  stopped_.insert(id);
}

void Metrics::ForgetStopped(RequestId id) {
  const std::lock_guard lock(mutex_);
  stopped_.erase(id);
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
