#include <catch2/catch.hpp>

#include "harness.h"

namespace reprise {
namespace {

// Plans a step of decodes and asks for drafts of `wanted` behind each.
BatchPlan PlanWithDrafts(Harness* h, int wanted) {
  BatchPlan plan = h->scheduler.Plan();
  h->scheduler.ReserveDrafts(&plan, std::vector<int>(plan.items.size(), wanted));
  return plan;
}

}  // namespace

TEST_CASE("A draft of k has slots for its k tokens behind the chunk", "[scheduler][S19]") {
  Harness h(MakeConfig(16, 4, 32));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(3), 20)).ok());
  h.Step();
  const BatchPlan plan = PlanWithDrafts(&h, 5);
  CHECK(plan.items[0].num_draft_tokens == 5);
  CHECK(plan.items[0].num_logit_rows == 1);
  CHECK(plan.num_tokens == 6);
  CHECK(plan.num_logit_rows == 6);
  CHECK(plan.token_budget_left == 26);
  CHECK(h.scheduler.Find(1)->block_table.size() == 3);  // positions 0 ... 8
}

TEST_CASE("Drafts use only what is left of the budget, the rows and the blocks", "[scheduler][S19]") {
  SchedulerConfig config = MakeConfig(16, 4, 32);
  SECTION("token budget and logit rows") {
    const bool by_rows = GENERATE(false, true);
    (by_rows ? config.max_num_logit_rows : config.max_num_batched_tokens) = 8;
    Harness h(config);
    REQUIRE(h.Admit(MakeRequest(1, Tokens(3), 20)).ok());
    REQUIRE(h.Admit(MakeRequest(2, Tokens(3, 500), 20)).ok());
    h.Step();
    const BatchPlan plan = PlanWithDrafts(&h, 4);
    CHECK(plan.items[0].num_draft_tokens == 4);
    CHECK(plan.items[1].num_draft_tokens == 2);
    CHECK((by_rows ? plan.num_logit_rows == 8 : plan.token_budget_left == 0));
  }
  SECTION("free blocks") {
    config.num_blocks = 4;
    config.max_model_len = 16;
    Harness h(config);
    REQUIRE(h.Admit(MakeRequest(1, Tokens(3), 13)).ok());
    REQUIRE(h.Admit(MakeRequest(2, Tokens(5, 500), 11)).ok());
    h.Step();  // positions 3 and 5 come next: blocks 1 + 2, one free
    const BatchPlan plan = PlanWithDrafts(&h, 8);
    CHECK(plan.items[0].num_draft_tokens == 4);
    CHECK(plan.items[1].num_draft_tokens == 2);
    CHECK(plan.num_preempted == 0);
    CHECK(h.scheduler.num_running() == 2);
  }
  SECTION("tokens still wanted") {
    Harness h(config);
    REQUIRE(h.Admit(MakeRequest(1, Tokens(3), 4)).ok());
    h.Step();
    CHECK(PlanWithDrafts(&h, 8).items[0].num_draft_tokens == 2);
  }
}

TEST_CASE("A chunk that does not reach the end has no draft", "[scheduler][S19]") {
  Harness h(MakeConfig(16, 4, 8));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(3), 20)).ok());
  h.Step();
  Request scored = MakeRequest(2, Tokens(30, 500), 2);
  REQUIRE(h.Admit(scored).ok());
  const BatchPlan plan = PlanWithDrafts(&h, 4);
  CHECK(plan.items[0].num_draft_tokens == 0);  // the prefill has taken the rest of the budget
  CHECK(plan.items[1].num_draft_tokens == 0);
}

TEST_CASE("Accepted drafts count as computed, rejected ones give their blocks back", "[scheduler][S20]") {
  Harness h(MakeConfig(16, 4, 32));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(3), 20)).ok());
  h.Step();
  const BatchPlan plan = PlanWithDrafts(&h, 9);
  CHECK(h.scheduler.block_pool().num_used() == 4);
  const CommitOutcome outcome = h.Commit(plan, {20, 21, 22}).front();
  CHECK(outcome.num_kept == 3);
  CHECK(outcome.finish_reason == FinishReason::kNone);
  const Sequence& sequence = *h.scheduler.Find(1);
  CHECK(sequence.num_computed == 6);
  CHECK(sequence.num_pending() == 1);
  CHECK(sequence.tokens.back() == 22);
  CHECK(h.scheduler.block_pool().num_used() == 2);
}

}  // namespace reprise
