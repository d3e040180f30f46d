#include <catch2/catch.hpp>

#include "harness.h"

namespace reprise {
namespace {

// Two sequences of two blocks each fill a pool of four; both need a third in the next step.
struct FullPool {
  Harness h{MakeConfig(4, 4, 32)};

  explicit FullPool(int second_priority = 0) {
    REQUIRE(h.Admit(MakeRequest(1, Tokens(8), 4)).ok());
    Request second = MakeRequest(2, Tokens(8, 500), 4);
    second.priority = second_priority;
    REQUIRE(h.Admit(second).ok());
    h.Step();
    REQUIRE(h.scheduler.num_running() == 2);
    REQUIRE(h.scheduler.block_pool().num_free() == 0);
  }
};

}  // namespace

TEST_CASE("When blocks run out the last in order gives way", "[scheduler][S11][S12]") {
  const int second_priority = GENERATE(0, -1, 1);
  const RequestId first = second_priority < 0 ? 2 : 1;
  FullPool pool(second_priority);
  Harness& h = pool.h;
  const BatchPlan plan = h.Step();
  CHECK(Shares(plan) == ShareList{{first, 1}});
  CHECK(plan.num_preempted == 1);
  CHECK(h.running(first));
  const Sequence& victim = *h.scheduler.Find(3 - first);
  CHECK_FALSE(victim.running);
  CHECK(victim.num_preemptions == 1);
  CHECK(victim.num_computed == 0);
  CHECK(victim.block_table.empty());
  CHECK(h.scheduler.num_waiting() == 1);
}

TEST_CASE("A preempted sequence keeps its tokens and goes on from them", "[scheduler][S13]") {
  FullPool pool;
  Harness& h = pool.h;
  h.Step();
  std::vector<TokenId> expected = Tokens(8, 500);
  expected.push_back(7);
  CHECK(h.scheduler.Find(2)->tokens == expected);
  while (!h.running(2)) h.Step();
  expected.push_back(7);
  CHECK(h.scheduler.Find(2)->tokens == expected);
  h.RunUntilIdle();
  CHECK(h.scheduler.block_pool().num_free() == 4);
}

TEST_CASE("A preempted sequence finds its blocks again unless they were needed", "[scheduler][S13][S6]") {
  FullPool pool;
  Harness& h = pool.h;
  h.Step();  // its last block was taken, the first is still cached
  h.scheduler.Finish(1);
  const BatchPlan plan = h.Step();
  CHECK(Shares(plan) == ShareList{{2, 5}});
  CHECK(plan.prefix_queries == 0);  // its own blocks are no hit for the metrics
  CHECK(h.scheduler.Find(2)->num_cached_prompt_tokens == 0);
}

TEST_CASE("Nothing starts in a step that preempts", "[scheduler][S12]") {
  FullPool pool;
  Harness& h = pool.h;
  Request urgent = MakeRequest(3, Tokens(1, 900), 1);
  urgent.priority = -1;
  REQUIRE(h.Admit(urgent).ok());
  CHECK(Shares(h.Step()) == ShareList{{1, 1}});
  CHECK(h.scheduler.num_waiting() == 2);
  CHECK(Shares(h.Step()) == ShareList{{1, 1}, {3, 1}});
}

TEST_CASE("A sequence that is last in order may have to give way to those before it", "[scheduler][S12]") {
  Harness h(MakeConfig(5, 4, 32));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(4), 9)).ok());
  REQUIRE(h.Admit(MakeRequest(2, Tokens(4, 300), 9)).ok());
  REQUIRE(h.Admit(MakeRequest(3, Tokens(4, 600), 9)).ok());
  h.Step();
  // Three need a block each and two are free: the third one itself is the last.
  const BatchPlan plan = h.Step();
  CHECK(Shares(plan) == ShareList{{1, 1}, {2, 1}});
  CHECK(plan.num_preempted == 1);
  CHECK(plan.num_tokens == 2);
  CHECK(plan.token_budget_left == 30);
  CHECK(plan.num_logit_rows == 2);
  CHECK_FALSE(h.running(3));
}

TEST_CASE("Prompt rows come again after a preempted prefill, not after a finished one", "[scheduler][S18]") {
  Harness h(MakeConfig(4, 4, 32));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(8), 4)).ok());
  Request scored = MakeRequest(2, Tokens(8, 500), 4);
  scored.prompt_logprobs = 0;
  REQUIRE(h.Admit(scored).ok());
  CHECK(h.Step().items[1].num_logit_rows == 8);
  h.Step();
  REQUIRE_FALSE(h.running(2));
  h.scheduler.Finish(1);
  const BatchPlan plan = h.Step();
  CHECK(Shares(plan) == ShareList{{2, 5}});  // the prompt is scored: its cached blocks may be used
  CHECK(plan.items[0].num_logit_rows == 1);
}

}  // namespace reprise
