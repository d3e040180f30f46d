// Who gets tokens in a step, and how many.
#include <catch2/catch.hpp>

#include "harness.h"

namespace reprise {

TEST_CASE("A prompt longer than the token budget is computed in chunks", "[scheduler][S9]") {
  Harness h(MakeConfig(16, 4, 8));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(20), 4)).ok());
  for (const int expected : {8, 8, 4, 1, 1, 1}) {
    const BatchPlan plan = h.scheduler.Plan();
    CHECK(Shares(plan) == ShareList{{1, expected}});
    CHECK(plan.items[0].reaches_end == (expected < 8));
    CHECK(plan.items[0].num_logit_rows == (expected < 8 ? 1 : 0));
    CHECK(plan.num_tokens == expected);
    CHECK(plan.token_budget_left == 8 - expected);
    h.Commit(plan);
  }
  CHECK(h.scheduler.idle());
}

TEST_CASE("Decodes get their token before any prefill", "[scheduler][S10]") {
  Harness h(MakeConfig(64, 4, 8));
  Request late = MakeRequest(1, Tokens(3), 20);
  late.arrival += std::chrono::seconds(9);
  REQUIRE(h.Admit(late).ok());
  h.Step();
  // Earlier in order, and long enough to want the whole budget.
  REQUIRE(h.Admit(MakeRequest(2, Tokens(30, 500), 4)).ok());
  CHECK(Shares(h.Step()) == ShareList{{1, 1}, {2, 7}});
  CHECK(Shares(h.Step()) == ShareList{{2, 7}, {1, 1}});
}

TEST_CASE("No more sequences run than can have a token in every step", "[scheduler][S9][S10]") {
  SchedulerConfig config = MakeConfig(64, 4, 64);
  const auto [seqs, budget] = GENERATE(std::pair{3, 64}, std::pair{8, 3});
  config.max_num_seqs = seqs;
  config.max_num_batched_tokens = budget;
  Harness h(config);
  for (RequestId id = 1; id <= 5; ++id) REQUIRE(h.Admit(MakeRequest(id, Tokens(1), 9)).ok());
  CHECK(Shares(h.Step()) == ShareList{{1, 1}, {2, 1}, {3, 1}});
  CHECK(Shares(h.Step()) == ShareList{{1, 1}, {2, 1}, {3, 1}});
  CHECK(h.scheduler.num_running() == 3);
  CHECK(h.scheduler.num_waiting() == 2);
}

TEST_CASE("Sequences start by priority, then arrival, then admission", "[scheduler][S14]") {
  SchedulerConfig config = MakeConfig(64, 4, 64);
  config.max_num_seqs = 1;
  Harness h(config);
  const auto admit = [&](RequestId id, int priority, int seconds) {
    Request request = MakeRequest(id, Tokens(2), 1);
    request.priority = priority;
    request.arrival += std::chrono::seconds(seconds);
    REQUIRE(h.Admit(request).ok());
  };
  admit(1, 1, 0);
  admit(2, 0, 5);
  admit(3, 0, 4);
  admit(4, 0, 4);
  admit(5, -1, 9);
  for (const RequestId expected : {5, 3, 4, 2, 1}) CHECK(Shares(h.Step()) == ShareList{{expected, 2}});
}

TEST_CASE("Ten thousand waiting requests start in order", "[scheduler][S14]") {
  Harness h(MakeConfig(64, 4, 64));
  constexpr RequestId kCount = 10000;
  for (RequestId id = 1; id <= kCount; ++id) REQUIRE(h.Admit(MakeRequest(id, Tokens(8), 2)).ok());
  CHECK(h.scheduler.num_waiting() == kCount);
  RequestId last = 0;
  while (!h.scheduler.idle()) {
    for (const ScheduledSequence& item : h.Step().items) {
      const RequestId id = item.sequence->request->id;
      if (id <= last) continue;
      REQUIRE(id == last + 1);
      last = id;
    }
  }
  CHECK(last == kCount);
}

TEST_CASE("While a long prompt is computed, up to half of the budget goes to short ones",
          "[scheduler][S15]") {
  Harness h(MakeConfig(64, 4, 16));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(100), 1)).ok());
  CHECK(Shares(h.Step()) == ShareList{{1, 16}});
  SECTION("prompts that fit into half of it") {
    REQUIRE(h.Admit(MakeRequest(2, Tokens(3, 500), 1)).ok());
    REQUIRE(h.Admit(MakeRequest(3, Tokens(4, 600), 1)).ok());
    REQUIRE(h.Admit(MakeRequest(4, Tokens(2, 700), 1)).ok());
    CHECK(Shares(h.Step()) == ShareList{{1, 9}, {2, 3}, {3, 4}});
    CHECK(Shares(h.Step()) == ShareList{{1, 14}, {4, 2}});
  }
  SECTION("not a prompt that does not fit") {
    REQUIRE(h.Admit(MakeRequest(2, Tokens(9, 500), 1)).ok());
    CHECK(Shares(h.Step()) == ShareList{{1, 16}});
  }
  SECTION("not a prompt of a later priority") {
    Request request = MakeRequest(2, Tokens(3, 500), 1);
    request.priority = 1;
    REQUIRE(h.Admit(request).ok());
    CHECK(Shares(h.Step()) == ShareList{{1, 16}});
  }
  SECTION("what a prefix hit saves goes back to the long prompt, not to the next long one") {
    REQUIRE(h.Admit(MakeRequest(2, Tokens(8), 1)).ok());
    REQUIRE(h.Admit(MakeRequest(3, Tokens(50, 500), 1)).ok());
    CHECK(Shares(h.Step()) == ShareList{{1, 12}, {2, 4}});
  }
}

TEST_CASE("A short prompt that finds no room leaves its share to the long one", "[scheduler][S15][S16]") {
  Harness h(MakeConfig(26, 4, 16));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(100), 1)).ok());  // 25 of 26 blocks
  h.Step();
  REQUIRE(h.Admit(MakeRequest(2, Tokens(5, 500), 1)).ok());
  CHECK(Shares(h.Step()) == ShareList{{1, 16}});
}

TEST_CASE("A prompt with log-probabilities leaves rows and tokens to those that wait",
          "[scheduler][S15][S18]") {
  SchedulerConfig config = MakeConfig(64, 4, 16);
  config.max_num_logit_rows = 8;
  Harness h(config);
  Request scored = MakeRequest(1, Tokens(40), 1);
  scored.prompt_logprobs = 0;
  REQUIRE(h.Admit(scored).ok());
  CHECK(Shares(h.Step()) == ShareList{{1, 8}});
  REQUIRE(h.Admit(MakeRequest(2, Tokens(1, 500), 2)).ok());
  REQUIRE(h.Admit(MakeRequest(3, Tokens(30, 600), 2)).ok());
  REQUIRE(h.Admit(MakeRequest(4, Tokens(30, 700), 2)).ok());
  // Three wait for a row. The third prompt is long, and once it takes all tokens the fourth has to wait.
  CHECK(Shares(h.Step()) == ShareList{{1, 5}, {2, 1}, {3, 10}});
  CHECK(Shares(h.Step()) == ShareList{{1, 6}, {2, 1}, {3, 9}});
}

TEST_CASE("A sequence starts only when there is room for all of its tokens", "[scheduler][S16]") {
  Harness h(MakeConfig(10, 4, 8));
  SECTION("among free blocks") {
    REQUIRE(h.Admit(MakeRequest(1, Tokens(8), 5)).ok());
    h.Step();
    REQUIRE(h.Admit(MakeRequest(2, Tokens(33, 500), 1)).ok());
    CHECK(Shares(h.Step()) == ShareList{{1, 1}});  // 9 blocks wanted, 7 free
    h.scheduler.Finish(1);
    CHECK(Shares(h.Step()) == ShareList{{2, 8}});
  }
  SECTION("besides what an unfinished prefill will need") {
    REQUIRE(h.Admit(MakeRequest(1, Tokens(32), 1)).ok());
    h.Step();
    REQUIRE(h.Admit(MakeRequest(2, Tokens(4, 500), 1)).ok());
    REQUIRE(h.Admit(MakeRequest(3, Tokens(4, 600), 1)).ok());
    REQUIRE(h.Admit(MakeRequest(4, Tokens(4, 700), 1)).ok());
    h.Step();
    h.Step();
    CHECK(h.scheduler.num_waiting() == 1);  // 8 of the 10 blocks are the first one's
    h.RunUntilIdle();
  }
}

TEST_CASE("Choices wait until choice 0 has computed the prompt, then share it", "[scheduler][S17]") {
  Harness h(MakeConfig(64, 4, 8));
  for (std::uint32_t choice = 0; choice < 3; ++choice) {
    Request request = MakeRequest(10 + choice, Tokens(14), 5);
    request.group = 10;
    request.choice = choice;
    REQUIRE(h.Admit(request).ok());
  }
  CHECK(h.scheduler.num_waiting() == 3);
  CHECK(Shares(h.Step()) == ShareList{{10, 8}});
  SECTION("they start when its prompt is in the cache") {
    CHECK(Shares(h.Step()) == ShareList{{10, 6}});
    CHECK(Shares(h.Step()) == ShareList{{10, 1}, {11, 2}, {12, 2}});
    CHECK(h.scheduler.Find(11)->num_cached_prompt_tokens == 12);
  }
  SECTION("or when it is gone") {
    h.scheduler.Finish(10);
    CHECK(Shares(h.Step()) == ShareList{{11, 6}, {12, 2}});
  }
  SECTION("a held choice can be finished") {
    CHECK(h.scheduler.Finish(11));
    CHECK(h.scheduler.num_waiting() == 1);
    h.Step();
    CHECK(Shares(h.Step()) == ShareList{{10, 1}, {12, 2}});
  }
}

TEST_CASE("A choice admitted after choice 0 has its prompt does not wait", "[scheduler][S17]") {
  Harness h(MakeConfig(64, 4, 16));
  Request request = MakeRequest(10, Tokens(14), 5);
  REQUIRE(h.Admit(request).ok());
  h.Step();
  request.id = 11;
  request.choice = 1;
  REQUIRE(h.Admit(request).ok());
  CHECK(Shares(h.Step()) == ShareList{{10, 1}, {11, 2}});
}

TEST_CASE("Prompt log-probabilities take a row for each prompt token", "[scheduler][S18]") {
  SchedulerConfig config = MakeConfig(64, 4, 16);
  config.max_num_logit_rows = 9;
  Harness h(config);
  REQUIRE(h.Admit(MakeRequest(1, Tokens(12), 9)).ok());
  h.Step();
  Request scored = MakeRequest(2, Tokens(12), 2);
  scored.prompt_logprobs = 3;
  REQUIRE(h.Admit(scored).ok());

  BatchPlan plan = h.Step();  // one row is the decode's
  CHECK(Shares(plan) == ShareList{{1, 1}, {2, 8}});
  CHECK(plan.items[1].num_logit_rows == 8);
  CHECK(plan.num_logit_rows == 9);
  CHECK(plan.prefix_queries == 0);  // the prompt is cached, but its logits are not
  CHECK(plan.items[1].sequence->num_cached_prompt_tokens == 0);
  plan = h.Step();
  CHECK(Shares(plan) == ShareList{{1, 1}, {2, 4}});
  CHECK(plan.items[1].num_logit_rows == 4);
  plan = h.Step();  // decoding: one row
  CHECK(Shares(plan) == ShareList{{1, 1}, {2, 1}});
  CHECK(plan.items[1].num_logit_rows == 1);
}

TEST_CASE("A prefill without a row left stops before its last token", "[scheduler][S9]") {
  SchedulerConfig config = MakeConfig(64, 4, 16);
  config.max_num_logit_rows = 8;
  Harness h(config);
  Request scored = MakeRequest(1, Tokens(8), 2);
  scored.prompt_logprobs = 0;
  scored.priority = 1;
  REQUIRE(h.Admit(MakeRequest(2, Tokens(20, 500), 2)).ok());
  CHECK(Shares(h.Step()) == ShareList{{2, 16}});
  REQUIRE(h.Admit(scored).ok());
  BatchPlan plan = h.Step();
  CHECK(Shares(plan) == ShareList{{2, 4}, {1, 7}});
  CHECK(plan.num_logit_rows == 8);
  CHECK_FALSE(plan.items[1].reaches_end);
}

}  // namespace reprise
