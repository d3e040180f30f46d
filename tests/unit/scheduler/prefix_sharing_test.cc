// What sequences share, and what they compute themselves.
#include <catch2/catch.hpp>

#include "harness.h"

namespace reprise {

TEST_CASE("A prompt's full blocks are computed once", "[scheduler][S4]") {
  Harness h(MakeConfig(64, 4, 32));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(10), 9)).ok());
  h.Step();
  std::vector<TokenId> longer = Tokens(10);
  longer.push_back(99);
  REQUIRE(h.Admit(MakeRequest(2, longer, 9)).ok());
  const BatchPlan plan = h.scheduler.Plan();
  CHECK(Shares(plan) == ShareList{{1, 1}, {2, 3}});
  CHECK(plan.prefix_queries == 11);
  CHECK(plan.prefix_hits == 8);
  const Sequence& first = *h.scheduler.Find(1);
  const Sequence& second = *h.scheduler.Find(2);
  CHECK(second.num_cached_prompt_tokens == 8);
  for (const std::size_t i : {0u, 1u}) {
    CHECK(first.block_table[i] == second.block_table[i]);
    CHECK(h.scheduler.block_pool().ref_count(first.block_table[i]) == 2);
  }
  CHECK(first.block_table[2] != second.block_table[2]);
  CHECK(h.scheduler.block_pool().num_used() == 4);
}

TEST_CASE("What follows a shared prefix is shared in turn", "[scheduler][S4]") {
  Harness h(MakeConfig(64, 4, 32));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(9), 1)).ok());
  h.RunUntilIdle();
  for (const int expected_hits : {8, 16}) {
    REQUIRE(h.Admit(MakeRequest(2, Tokens(17), 1)).ok());
    CHECK(h.Step().prefix_hits == expected_hits);
  }
}

TEST_CASE("Equal blocks behind different prefixes are cached side by side", "[scheduler][S5]") {
  Harness h(MakeConfig(64, 4, 32));
  std::vector<TokenId> other = Tokens(9);
  other[0] = 55;
  for (const int expected_hits : {0, 8}) {
    REQUIRE(h.Admit(MakeRequest(1, Tokens(9), 1)).ok());
    CHECK(h.Step().prefix_hits == expected_hits);
    REQUIRE(h.Admit(MakeRequest(2, other, 1)).ok());
    CHECK(h.Step().prefix_hits == expected_hits);
  }
}

TEST_CASE("At least one token of a cached prompt is computed, for its logits", "[scheduler][S8]") {
  Harness h(MakeConfig(64, 4, 32));
  const auto [length, expected_hits] = GENERATE(std::pair{7, 4}, std::pair{8, 4}, std::pair{9, 8});
  REQUIRE(h.Admit(MakeRequest(1, Tokens(length), 1)).ok());
  h.RunUntilIdle();
  REQUIRE(h.Admit(MakeRequest(2, Tokens(length), 1)).ok());
  const BatchPlan plan = h.Step();
  CHECK(plan.prefix_hits == expected_hits);
  CHECK(Shares(plan) == ShareList{{2, length - expected_hits}});
}

TEST_CASE("Only full blocks of committed tokens are cached", "[scheduler][S7]") {
  Harness h(MakeConfig(64, 4, 32));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(6), 9)).ok());
  h.Step();
  BatchPlan plan = h.scheduler.Plan();
  h.scheduler.ReserveDrafts(&plan, std::vector<int>{6});
  h.Commit(plan, {20, 21});  // one draft of six stands: the tokens are 6 + 7, 20, 21, of which 8 are computed
  std::vector<TokenId> tokens = h.scheduler.Find(1)->tokens;
  REQUIRE(tokens.size() == 9);
  REQUIRE(h.scheduler.Find(1)->num_computed == 8);
  h.scheduler.Finish(1);

  tokens.insert(tokens.end(), 8, 55);
  REQUIRE(h.Admit(MakeRequest(2, tokens, 1)).ok());
  CHECK(h.Step().prefix_hits == 8);
  tokens[7] = 56;
  REQUIRE(h.Admit(MakeRequest(3, tokens, 1)).ok());
  CHECK(h.Step().prefix_hits == 4);
}

TEST_CASE("A step's own blocks are found only after its commit", "[scheduler][S7]") {
  Harness h(MakeConfig(64, 4, 64));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(12), 2)).ok());
  REQUIRE(h.Admit(MakeRequest(2, Tokens(12), 2)).ok());
  CHECK(Shares(h.Step()) == ShareList{{1, 12}, {2, 12}});
  REQUIRE(h.Admit(MakeRequest(3, Tokens(12), 2)).ok());
  CHECK(h.Step().prefix_hits == 8);
}

TEST_CASE("An ended request's blocks are free, yet found until they are needed", "[scheduler][S3][S6]") {
  Harness h(MakeConfig(8, 4, 32));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(9), 1)).ok());
  h.RunUntilIdle();
  CHECK(h.scheduler.block_pool().num_free() == 8);
  SECTION("blank blocks are used before them") {
    REQUIRE(h.Admit(MakeRequest(2, Tokens(20, 500), 1)).ok());  // 5 blocks of the 6 blank ones
    h.RunUntilIdle();
    REQUIRE(h.Admit(MakeRequest(3, Tokens(9), 1)).ok());
    CHECK(h.Step().prefix_hits == 8);
  }
  SECTION("a prefix outlives its continuation") {
    REQUIRE(h.Admit(MakeRequest(2, Tokens(28, 500), 1)).ok());  // 7 blocks: one of the two cached ones
    h.RunUntilIdle();
    REQUIRE(h.Admit(MakeRequest(3, Tokens(9), 1)).ok());
    CHECK(h.Step().prefix_hits == 4);
  }
  SECTION("all are given up for a sequence that needs them") {
    REQUIRE(h.Admit(MakeRequest(2, Tokens(31, 500), 1)).ok());
    h.RunUntilIdle();
    REQUIRE(h.Admit(MakeRequest(3, Tokens(9), 1)).ok());
    CHECK(h.Step().prefix_hits == 0);
  }
}

TEST_CASE("A waiting request's hits count as room only once", "[scheduler][S16]") {
  Harness h(MakeConfig(8, 4, 32));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(16), 1)).ok());
  h.RunUntilIdle();  // four free blocks are cached
  REQUIRE(h.Admit(MakeRequest(2, Tokens(13, 500), 9)).ok());
  h.Step();  // four blank ones are taken
  // Five blocks wanted: three hits, which are among the four free ones, and two more.
  std::vector<TokenId> prompt = Tokens(12);
  prompt.insert(prompt.end(), 8, 77);
  REQUIRE(h.Admit(MakeRequest(3, prompt, 1)).ok());
  CHECK(Shares(h.Step()) == ShareList{{2, 1}});
  h.scheduler.Finish(2);
  CHECK(Shares(h.Step()) == ShareList{{3, 8}});
}

TEST_CASE("Without a prefix cache nothing is shared", "[scheduler][S4]") {
  SchedulerConfig config = MakeConfig(64, 4, 32);
  config.enable_prefix_cache = false;
  Harness h(config);
  REQUIRE(h.Admit(MakeRequest(1, Tokens(10), 3)).ok());
  h.Step();
  REQUIRE(h.Admit(MakeRequest(2, Tokens(10), 3)).ok());
  CHECK(Shares(h.Step()) == ShareList{{1, 1}, {2, 10}});
}

}  // namespace reprise
