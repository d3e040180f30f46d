// Admission, and every way for a request to end.
#include <catch2/catch.hpp>

#include "harness.h"

namespace reprise {

TEST_CASE("A request that can never fit is refused, with the reason", "[scheduler][S24]") {
  SchedulerConfig config = MakeConfig(16, 4, 32);
  config.max_model_len = 20;
  Harness h(config);
  CHECK(h.Admit(MakeRequest(1, Tokens(12), 8)).ok());
  Status status = h.Admit(MakeRequest(2, Tokens(12), 9));
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(status.param() == "max_tokens");
  CHECK(status.message().find("20 tokens") != std::string::npos);
  CHECK(h.Admit(MakeRequest(3, Tokens(21), 0)).param() == "prompt");
  CHECK(h.Admit(MakeRequest(4, {}, 1)).param() == "prompt");
  CHECK(h.Admit(MakeRequest(5, Tokens(1), -1)).param() == "max_tokens");
  CHECK(h.Admit(MakeRequest(6, Tokens(1), 2147483647)).param() == "max_tokens");
  CHECK(h.scheduler.num_waiting() == 1);
}

TEST_CASE("A stop token ends the sequence and is its last", "[scheduler][S21]") {
  Harness h(MakeConfig(16, 4, 32));
  Request request = MakeRequest(1, Tokens(3), 10);
  request.stop_token_ids = {8, 9};
  REQUIRE(h.Admit(request).ok());
  h.Step();
  BatchPlan plan = h.scheduler.Plan();
  h.scheduler.ReserveDrafts(&plan, std::vector<int>{4});
  const CommitOutcome outcome = h.Commit(plan, {20, 9, 21}).front();
  CHECK(outcome.num_kept == 2);
  CHECK(outcome.finish_reason == FinishReason::kStop);
  CHECK(plan.items[0].sequence->tokens.back() == 9);
  CHECK(h.scheduler.idle());
}

TEST_CASE("What was accepted behind a stop token is neither kept nor cached", "[scheduler][S7][S21]") {
  Harness h(MakeConfig(16, 4, 32));
  Request request = MakeRequest(1, Tokens(3), 10);
  request.stop_token_ids = {9};
  REQUIRE(h.Admit(request).ok());
  h.Step();
  BatchPlan plan = h.scheduler.Plan();
  h.scheduler.ReserveDrafts(&plan, std::vector<int>{4});
  const std::vector<BlockId> table = plan.items[0].sequence->block_table;
  REQUIRE(table.size() == 2);
  CHECK(h.Commit(plan, {20, 9, 21, 22, 23}).front().num_kept == 2);
  CHECK(plan.items[0].sequence->tokens.size() == 6);
  CHECK(h.scheduler.block_pool().cached(table[0]));
  CHECK_FALSE(h.scheduler.block_pool().cached(table[1]));
}

TEST_CASE("No stop token ends a sequence within its first min_tokens", "[scheduler][S21]") {
  Harness h(MakeConfig(16, 4, 32));
  Request request = MakeRequest(1, Tokens(3), 10);
  request.stop_token_ids = {7};
  request.min_tokens = 2;
  REQUIRE(h.Admit(request).ok());
  for (int i = 0; i < 2; ++i) {
    CHECK(h.Commit(h.scheduler.Plan()).front().finish_reason == FinishReason::kNone);
  }
  CHECK(h.Commit(h.scheduler.Plan()).front().finish_reason == FinishReason::kStop);
}

TEST_CASE("max_tokens ends a sequence, even in the middle of a draft", "[scheduler][S21]") {
  Harness h(MakeConfig(16, 4, 32));
  const bool with_stop = GENERATE(false, true);
  Request request = MakeRequest(1, Tokens(3), 4);
  if (with_stop) request.stop_token_ids = {22};
  REQUIRE(h.Admit(request).ok());
  h.Step();
  BatchPlan plan = h.scheduler.Plan();
  h.scheduler.ReserveDrafts(&plan, std::vector<int>{2});
  const CommitOutcome outcome = h.Commit(plan, {20, 21, 22}).front();
  CHECK(outcome.num_kept == 3);
  CHECK(outcome.finish_reason == (with_stop ? FinishReason::kStop : FinishReason::kLength));
}

TEST_CASE("With max_tokens 0 a sequence ends when its prompt is computed", "[scheduler][S22]") {
  Harness h(MakeConfig(16, 4, 8));
  Request request = MakeRequest(1, Tokens(12), 0);
  request.prompt_logprobs = GENERATE(-1, 0);
  REQUIRE(h.Admit(request).ok());
  CHECK(h.Commit(h.scheduler.Plan()).front().finish_reason == FinishReason::kNone);
  BatchPlan plan = h.scheduler.Plan();
  h.scheduler.ReserveDrafts(&plan, std::vector<int>{4});
  CHECK(plan.items[0].num_draft_tokens == 0);
  const CommitOutcome outcome = h.Commit(plan).front();
  CHECK(outcome.num_kept == 0);
  CHECK(outcome.finish_reason == FinishReason::kLength);
  CHECK(h.scheduler.idle());

  REQUIRE(h.Admit(MakeRequest(2, Tokens(12), 1)).ok());
  CHECK(h.Step().prefix_hits == 8);  // it has filled the cache
}

TEST_CASE("Finish ends a request in any state and frees its blocks at once", "[scheduler][S23]") {
  SchedulerConfig config = MakeConfig(16, 4, 8);
  config.max_num_seqs = 2;
  Harness h(config);
  REQUIRE(h.Admit(MakeRequest(1, Tokens(2), 9)).ok());
  REQUIRE(h.Admit(MakeRequest(2, Tokens(30, 300), 9)).ok());
  REQUIRE(h.Admit(MakeRequest(3, Tokens(2, 600), 9)).ok());
  h.Step();
  CHECK(h.scheduler.num_running() == 2);
  CHECK(h.scheduler.Finish(3));  // waiting
  CHECK(h.scheduler.num_waiting() == 0);
  CHECK(h.scheduler.Finish(2));  // in the middle of its prompt
  CHECK(h.scheduler.block_pool().num_used() == 1);
  CHECK(h.scheduler.Finish(1));  // decoding
  CHECK(h.scheduler.block_pool().num_used() == 0);
  CHECK(h.scheduler.idle());
  CHECK_FALSE(h.scheduler.Finish(1));
  CHECK_FALSE(h.scheduler.Finish(77));
  CHECK(h.scheduler.Plan().empty());
}

TEST_CASE("An ended sequence can be read until the next plan", "[scheduler][S23]") {
  Harness h(MakeConfig(16, 4, 8));
  REQUIRE(h.Admit(MakeRequest(1, Tokens(2), 1)).ok());
  const BatchPlan plan = h.scheduler.Plan();
  CHECK(h.Commit(plan).front().finish_reason == FinishReason::kLength);
  CHECK(h.scheduler.Find(1) == nullptr);
  const Sequence& ended = *plan.items[0].sequence;
  CHECK(ended.tokens == std::vector<TokenId>{100, 101, 7});
  CHECK(ended.block_table.empty());
  CHECK_FALSE(ended.running);
}

}  // namespace reprise
