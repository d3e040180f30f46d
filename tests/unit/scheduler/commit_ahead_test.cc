// Plans that are made while the step before is in flight.
#include <catch2/catch.hpp>

#include "harness.h"

namespace reprise {
namespace {

class AheadHarness : public Harness {
 public:
  using Harness::Harness;

  void CommitAhead(const BatchPlan& plan) {
    std::vector<TokenId> stand_ins;
    for (std::size_t i = 0; i < plan.items.size(); ++i) stand_ins.push_back(-1 - static_cast<TokenId>(i));
    scheduler.CommitAhead(plan, stand_ins);
  }
  std::vector<CommitOutcome> Resolve(const BatchPlan& plan, TokenId token = 7) {
    std::vector<AcceptedTokens> accepted;
    for (const ScheduledSequence& item : plan.items) {
      accepted.push_back(
          {item.reaches_end && !item.sequence->ended ? std::vector<TokenId>{token} : std::vector<TokenId>()});
    }
    return scheduler.Resolve(plan, accepted);
  }
  int num_used() const { return scheduler.block_pool().num_used(); }
};

}  // namespace

TEST_CASE("A plan ahead goes on where the step in flight will have ended", "[scheduler][S26]") {
  AheadHarness h(MakeConfig(16, 4, 8));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(11), 5)).ok());
  const BatchPlan first = h.scheduler.Plan();
  CHECK(Shares(first) == ShareList{{1, 8}});
  h.CommitAhead(first);
  const BatchPlan second = h.scheduler.Plan();
  CHECK(Shares(second) == ShareList{{1, 3}});
  CHECK(h.Resolve(first)[0].num_kept == 0);
  h.CommitAhead(second);
  const Sequence& sequence = *h.scheduler.Find(1);
  CHECK(sequence.tokens.back() == -1);
  CHECK(sequence.num_known() == 11);
  REQUIRE(h.Admit(MakeRequest(2, Tokens(4, 300), 5)).ok());
  const BatchPlan third = h.scheduler.Plan();
  CHECK(Shares(third) == ShareList{{1, 1}, {2, 4}});
  CHECK(h.Resolve(second, 50)[0].num_kept == 1);
  CHECK(sequence.tokens.back() == 50);
  CHECK(h.Commit(third)[0].num_kept == 1);
  h.RunUntilIdle();
  CHECK(h.num_used() == 0);
}

TEST_CASE("Only the token's id is to come at max_tokens: nothing is planned for it", "[scheduler][S26]") {
  AheadHarness h(MakeConfig(16, 4, 32));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(3), 1)).ok());
  const BatchPlan plan = h.scheduler.Plan();
  h.CommitAhead(plan);
  CHECK(h.scheduler.Plan().empty());
  CHECK(h.num_used() == 1);
  const CommitOutcome outcome = h.Resolve(plan)[0];
  CHECK(outcome.num_kept == 1);
  CHECK(outcome.finish_reason == FinishReason::kLength);
  CHECK(h.scheduler.idle());
  CHECK(h.num_used() == 0);
}

TEST_CASE("What ends while the next step is in flight keeps its blocks until that has ended",
          "[scheduler][S25]") {
  AheadHarness h(MakeConfig(16, 4, 32));
  Request request = MakeRequest(1, Tokens(4), 10);
  request.stop_token_ids = {9};
  REQUIRE(h.Admit(request).ok());
  const BatchPlan first = h.scheduler.Plan();
  h.CommitAhead(first);
  const BatchPlan second = h.scheduler.Plan();
  CHECK(h.num_used() == 2);
  SECTION("by a stop token") {
    CHECK(h.Resolve(first, 9)[0].finish_reason == FinishReason::kStop);
  }
  SECTION("by its caller") {
    CHECK(h.scheduler.Finish(1));
    CHECK(h.Resolve(first)[0].num_kept == 0);
  }
  CHECK(h.scheduler.idle());
  CHECK(h.num_used() == 2);
  h.CommitAhead(second);
  CHECK(h.scheduler.Plan().empty());
  CHECK(h.num_used() == 2);
  const CommitOutcome outcome = h.Resolve(second)[0];
  CHECK(outcome.num_kept == 0);
  CHECK(outcome.finish_reason == FinishReason::kNone);
  CHECK(h.num_used() == 0);
}

TEST_CASE("A plan that would have to preempt waits for the end of the step in flight", "[scheduler][S26]") {
  AheadHarness h(MakeConfig(4, 4, 32));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(8), 8)).ok());
  REQUIRE(h.Admit(MakeRequest(2, Tokens(7, 300), 8)).ok());
  const BatchPlan first = h.scheduler.Plan();
  CHECK(h.num_used() == 4);
  h.CommitAhead(first);  // the first one needs a fifth block
  CHECK(h.scheduler.Plan().empty());
  CHECK(h.running(2));
  h.Resolve(first);
  const BatchPlan second = h.scheduler.Plan();
  CHECK(second.num_preempted == 1);
  CHECK(Shares(second) == ShareList{{1, 1}});
}

TEST_CASE("Blocks are cached by what is in them, never by stand-ins", "[scheduler][S26]") {
  AheadHarness h(MakeConfig(16, 4, 32));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(6), 10)).ok());
  std::vector<BatchPlan> plans = {h.scheduler.Plan()};
  for (TokenId token = 50; token < 53; ++token) {
    h.CommitAhead(plans.back());
    plans.push_back(h.scheduler.Plan());
    h.Resolve(plans[plans.size() - 2], token);
  }
  h.CommitAhead(plans.back());  // computes 52, at position 8; 50 and 51 filled the second block
  Request other = MakeRequest(2, Tokens(6), 1);
  other.prompt.insert(other.prompt.end(), {50, 51, 52, 60});
  REQUIRE(h.Admit(other).ok());
  const BatchPlan next = h.scheduler.Plan();
  CHECK(Shares(next) == ShareList{{1, 1}, {2, 2}});
  CHECK(next.prefix_hits == 8);
}

}  // namespace reprise
