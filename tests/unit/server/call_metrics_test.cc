#include "server/call_metrics.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <vector>

namespace reprise {
namespace {

RequestStats Stats() {
  RequestStats stats;
  stats.arrival = TimePoint{} + std::chrono::seconds(1);
  stats.scheduled = stats.arrival + std::chrono::milliseconds(10);
  stats.first_token = stats.arrival + std::chrono::milliseconds(30);
  stats.finished = stats.arrival + std::chrono::milliseconds(110);
  return stats;
}

}  // namespace

TEST_CASE("Nothing drafted is nothing to tell", "[metrics]") {
  RequestStats stats = Stats();
  stats.num_passes = 8;
  stats.tokens_by_method[static_cast<std::size_t>(DecodingMethod::kPlain)] = 8;
  const CallMetrics metrics = SummarizeCall(std::vector{stats}, 8);
  CHECK(metrics.method == DecodingMethod::kPlain);
  CHECK(metrics.tokens_per_pass == 1.0);
  CHECK(metrics.time_to_first_token_ms == Approx(30));
  CHECK(metrics.queue_time_ms == Approx(10));
  CHECK(metrics.generation_time_ms == Approx(100));
  CHECK(metrics.tokens_per_second == Approx(80));
  CHECK_FALSE(metrics.speculative.has_value());
  // A call of which nothing ran says plain, not nothing.
  CHECK(SummarizeCall(std::vector{RequestStats()}, 0).method == DecodingMethod::kPlain);
}

TEST_CASE("Choices are summed", "[metrics]") {
  const auto plain = static_cast<std::size_t>(DecodingMethod::kPlain);
  const auto speculative = static_cast<std::size_t>(DecodingMethod::kSpeculative);
  RequestStats one = Stats(), two = Stats();
  one.num_passes = 4;
  one.tokens_by_method[plain] = 3;
  one.tokens_by_method[speculative] = 2;
  one.num_draft_steps = 1;
  one.num_draft_tokens = 3;
  one.num_accepted_draft_tokens = 1;
  one.acceptance_histogram[1] = 1;
  one.routes[kNumProposers][static_cast<std::size_t>(RouteReason::kNothingToDraft)] = 3;
  one.routes[static_cast<std::size_t>(ProposerKind::kPromptLookup)]
            [static_cast<std::size_t>(RouteReason::kGoodput)] = 1;
  two = one;
  two.tokens_by_method[plain] = 0;
  two.num_accepted_draft_tokens = 3;
  two.acceptance_histogram = {};
  two.acceptance_histogram[3] = 1;
  const CallMetrics metrics = SummarizeCall(std::vector{one, two}, 12);
  CHECK(metrics.method == DecodingMethod::kSpeculative);  // four tokens to plain's three
  CHECK(metrics.passes == 8);
  CHECK(metrics.tokens_per_pass == 1.5);
  REQUIRE(metrics.router.size() == 2);
  CHECK(RouterCountName(metrics.router[0]) == "prompt_lookup");
  CHECK(metrics.router[0].reason == RouteReason::kGoodput);
  CHECK(metrics.router[0].steps == 2);
  CHECK(RouterCountName(metrics.router[1]) == "plain");
  CHECK(metrics.router[1].steps == 6);
  REQUIRE(metrics.speculative.has_value());
  CHECK(metrics.speculative->mean_acceptance_length == 3.0);
  CHECK(metrics.speculative->draft_acceptance_rate == Approx(4.0 / 6));
  CHECK(metrics.speculative->acceptance_histogram == std::vector<int>{0, 1, 0, 1});
}

}  // namespace reprise
