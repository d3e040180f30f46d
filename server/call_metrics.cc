#include "server/call_metrics.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace reprise {
namespace {

double Milliseconds(TimePoint from, TimePoint to) {
  return std::max(0.0, std::chrono::duration<double, std::milli>(to - from).count());
}

void AddTimes(std::span<const RequestStats> choices, CallMetrics* out) {
  TimePoint first_token = TimePoint::max();
  TimePoint first_scheduled = TimePoint::max();
  TimePoint finished{};
  for (const RequestStats& stats : choices) {
    finished = std::max(finished, stats.finished);
    if (stats.scheduled == TimePoint{}) continue;
    first_scheduled = std::min(first_scheduled, stats.scheduled);
    out->queue_time_ms = std::max(out->queue_time_ms, Milliseconds(stats.arrival, stats.scheduled));
    if (stats.first_token != TimePoint{}) first_token = std::min(first_token, stats.first_token);
  }
  if (first_token != TimePoint::max()) {
    out->time_to_first_token_ms = Milliseconds(choices[0].arrival, first_token);
  }
  if (first_scheduled != TimePoint::max()) out->generation_time_ms = Milliseconds(first_scheduled, finished);
}

void AddDecoding(std::span<const RequestStats> choices, CallMetrics* out) {
  std::array<int, kNumMethods> tokens = {};
  std::array<std::array<int, kNumRouteReasons>, kNumProposers + 1> routes = {};
  for (const RequestStats& stats : choices) {
    out->passes += stats.num_passes;
    for (std::size_t m = 0; m < tokens.size(); ++m) tokens[m] += stats.tokens_by_method[m];
    for (std::size_t who = 0; who < routes.size(); ++who) {
      for (std::size_t why = 0; why < routes[who].size(); ++why) {
        routes[who][why] += stats.routes[who][why];
      }
    }
  }
  const auto most = std::ranges::max_element(tokens);
  if (*most > 0) out->method = static_cast<DecodingMethod>(most - tokens.begin());
  for (std::size_t who = 0; who < routes.size(); ++who) {
    for (std::size_t why = 0; why < routes[who].size(); ++why) {
      if (routes[who][why] == 0) continue;
      RouterCount count{std::nullopt, static_cast<RouteReason>(why), routes[who][why]};
      if (who < kNumProposers) count.proposer = static_cast<ProposerKind>(who);
      out->router.push_back(count);
    }
  }
}

void AddSpeculation(std::span<const RequestStats> choices, CallMetrics* out) {
  SpeculativeMetrics sum;
  std::array<int, kMaxDraftTokens + 1> histogram = {};
  for (const RequestStats& stats : choices) {
    sum.num_spec_steps += stats.num_draft_steps;
    sum.num_draft_tokens += stats.num_draft_tokens;
    sum.num_accepted_draft_tokens += stats.num_accepted_draft_tokens;
    for (std::size_t k = 0; k < histogram.size(); ++k) histogram[k] += stats.acceptance_histogram[k];
  }
  if (sum.num_spec_steps == 0) return;
  const double accepted = sum.num_accepted_draft_tokens;
  sum.mean_acceptance_length = 1 + accepted / sum.num_spec_steps;
  sum.draft_acceptance_rate = accepted / sum.num_draft_tokens;
  const auto last = std::find_if(histogram.rbegin(), histogram.rend(), [](int n) { return n > 0; });
  sum.acceptance_histogram.assign(histogram.begin(), last.base());
  out->speculative = std::move(sum);
}

}  // namespace

std::string_view RouterCountName(const RouterCount& count) {
  return count.proposer ? ProposerName(*count.proposer) : DecodingMethodName(DecodingMethod::kPlain);
}

CallMetrics SummarizeCall(std::span<const RequestStats> choices, int num_tokens) {
  CallMetrics metrics;
  AddTimes(choices, &metrics);
  AddDecoding(choices, &metrics);
  AddSpeculation(choices, &metrics);
  if (metrics.generation_time_ms > 0) {
    metrics.tokens_per_second = 1000.0 * num_tokens / metrics.generation_time_ms;
  }
  if (metrics.passes > 0) metrics.tokens_per_pass = static_cast<double>(num_tokens) / metrics.passes;
  return metrics;
}

}  // namespace reprise
