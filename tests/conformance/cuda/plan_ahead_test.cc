// Steps that are planned while the one before runs: the same tokens, log-probabilities and endings as
// without, whatever ends a request and wherever that falls.
#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/conformance/cuda/cuda_legs.h"
#include "tests/conformance/cuda/engine_scene.h"
#include "tests/unit/models/tiny_family.h"

namespace reprise::test {
namespace {

EngineOptions Options(bool plan_ahead) {
  EngineOptions options = TinyOptions();
  options.plan_ahead = plan_ahead;
  return options;
}

EngineOptions OfFewBlocks(const LoadedTiny& cuda, EngineOptions options, int num_blocks) {
  KvGeometry geometry = cuda.decoder->kv_geometry();
  geometry.type = options.kv_type;
  options.kv_cache_bytes = static_cast<std::uint64_t>(num_blocks) *
                           KvCache::BlockBytes(std::vector(cuda.decoder->num_layers(), geometry));
  return options;
}

// What can be planned ahead: plain decoding with filters, bias, masks, penalties, log-probabilities, stop
// tokens and choices. What the router decides for those that leave it the choice may differ, but not their
// tokens.
std::vector<std::shared_ptr<Request>> PlainRequests() {
  std::vector<std::shared_ptr<Request>> requests = Requests(18, 24);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    Request& request = *requests[i];
    SamplingParams& params = request.sampling;
    request.max_tokens = 8 + static_cast<int>(i * 5 % 17);
    request.decoding = i % 4 == 0 ? DecodingMethod::kAuto : DecodingMethod::kPlain;
    if (i % 3 == 1) params.top_k = 20;
    if (i % 5 == 3) params.top_p = 0.8f;
    if (i % 7 == 1) params.min_p = 0.05f;
    if (i % 6 == 2) params.logit_bias = {{20, 4.0f}, {21, -4.0f}};
    if (i % 4 == 2) params.frequency_penalty = 0.7f;
    if (i % 4 == 2) params.presence_penalty = -0.3f;
    if (i % 5 == 2) params.repetition_penalty = 1.5f;
    if (i % 4 < 2) params.num_logprobs = static_cast<int>(i % 4) * 3;
    request.min_tokens = i % 3 == 0 ? 6 : 0;
    for (TokenId token = 5; token < 5 + 60; ++token) request.stop_token_ids.push_back(token);
    if (i % 6 == 5) request.stop_token_ids.clear();
    request.priority = i % 9 == 4 ? -1 : 0;
  }
  for (std::uint32_t choice = 0; choice < 3; ++choice) {  // one call
    requests[4 + choice]->group = requests[4]->id;
    requests[4 + choice]->choice = choice;
    requests[4 + choice]->prompt = requests[4]->prompt;
    requests[4 + choice]->sampling.temperature = 0.8f;
  }
  return requests;
}

void CheckSame(const std::vector<Collected>& got, const std::vector<Collected>& expected) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("request " << i);
    REQUIRE(got[i].finished);
    CHECK(got[i].tokens == expected[i].tokens);
    CHECK(got[i].reason == expected[i].reason);
    CHECK(got[i].stats.num_generated_tokens == static_cast<int>(got[i].tokens.size()));
    REQUIRE(got[i].generated.size() == expected[i].generated.size());
    for (std::size_t t = 0; t < got[i].generated.size(); ++t) {
      const GeneratedToken& a = got[i].generated[t];
      const GeneratedToken& b = expected[i].generated[t];
      CHECK((a.logprob == b.logprob && a.rank == b.rank && a.top.size() == b.top.size()));
      for (std::size_t n = 0; n < std::min(a.top.size(), b.top.size()); ++n)
        CHECK((a.top[n].token == b.top[n].token && a.top[n].logprob == b.top[n].logprob));
    }
    CHECK(got[i].prompt.size() == expected[i].prompt.size());
  }
}

int NumWith(const std::vector<Collected>& results, FinishReason reason) {
  return static_cast<int>(
      std::ranges::count_if(results, [&](const Collected& result) { return result.reason == reason; }));
}

TEST_CASE("cuda: planning ahead changes no token, no log-probability and no ending", "[E11]") {
  LoadedTiny cuda(MakeCudaLeg(), "smollm2");
  const std::vector<Collected> expected =
      RunAll(*cuda.Engine(nullptr, nullptr, Options(false)), PlainRequests());
  CHECK(NumWith(expected, FinishReason::kStop) > 3);
  CHECK(NumWith(expected, FinishReason::kLength) > 3);

  EngineOptions options = Options(true);
  SECTION("with room for all") {}
  SECTION("in small chunks") {
    options.max_num_batched_tokens = 9;
  }
  SECTION("with preemption") {
    options = OfFewBlocks(cuda, options, 9);
    options.enable_prefix_cache = GENERATE(false, true);
  }
  SECTION("of few sequences") {
    options.max_num_seqs = 3;
  }
  const auto core = cuda.Engine(nullptr, nullptr, options);
  const std::vector<Collected> got = RunAll(*core, PlainRequests());
  CheckSame(got, expected);
  CHECK(core->scheduler().block_pool().num_used() == 0);
  if (core->info().num_blocks == 9) {
    int preemptions = 0;
    for (const Collected& result : got) preemptions += result.stats.num_preemptions;
    CHECK(preemptions > 0);
  }
  // And once more, out of the prefix cache.
  CheckSame(RunAll(*core, PlainRequests()), expected);
}

TEST_CASE("cuda: steps with drafts, penalties and scored prompts among those planned ahead", "[E11]") {
  std::vector<std::vector<Collected>> results;
  for (const bool plan_ahead : {false, true}) {
    LoadedTiny cuda(MakeCudaLeg(), "smollm2");
    const std::unique_ptr<RecycleModule> module =
        MakeModule("tests/data/models/smollm2", *cuda.decoder, *cuda.backend, {});
    const auto core = cuda.Engine(module.get(), nullptr, Options(plan_ahead));
    std::vector<std::shared_ptr<Request>> requests = DemandingRequests();
    for (std::size_t i = 0; i < requests.size(); ++i) {
      // Those that draft end early, and then the others run ahead.
      if (requests[i]->decoding != DecodingMethod::kPlain) requests[i]->max_tokens = 5;
      requests[i]->sampling.seeded = true;
    }
    results.push_back(RunAll(*core, requests));
  }
  CheckSame(results[1], results[0]);
}

TEST_CASE("cuda: requests that leave it to the router draft, and run ahead in between", "[E11]") {
  std::vector<std::vector<Collected>> results;
  for (const bool plan_ahead : {false, true}) {
    LoadedTiny cuda(MakeCudaLeg(), "smollm2");
    const auto core = cuda.Engine(nullptr, nullptr, Options(plan_ahead));
    std::vector<std::shared_ptr<Request>> requests = Requests(4, 40);
    requests[1]->max_tokens = requests[2]->max_tokens = 25;
    for (const std::size_t i : {1, 2})
      requests[i]->sampling.logit_bias = {{20, 100.0f}};  // repeat themselves
    results.push_back(RunAll(*core, requests));
    int accepted = 0;
    for (const Collected& result : results.back()) accepted += result.stats.num_accepted_draft_tokens;
    CHECK(accepted > 10);
  }
  CheckSame(results[1], results[0]);
}

// Adds two requests, ends one after so many steps, and returns what both got.
std::vector<Collected> RunWithEnding(EngineCore& core, int num_steps, bool by_deadline) {
  std::vector<std::shared_ptr<Request>> requests = Requests(2, 14);
  std::vector<std::shared_ptr<TokenStream>> streams;
  const TimePoint deadline = Clock::now() + std::chrono::hours(1);
  for (const auto& request : requests) {
    request->decoding = DecodingMethod::kPlain;
    request->sampling.num_logprobs = 1;
    if (by_deadline && request->id == 1) request->deadline = deadline;
    streams.push_back(std::make_shared<TokenStream>(request));
    REQUIRE(core.Add(request, streams.back()).ok());
  }
  for (int step = 0; !core.idle(); ++step) {
    REQUIRE(step < 100);
    if (step == num_steps && by_deadline) core.ExpireDeadlines(deadline);
    if (step == num_steps && !by_deadline) core.Abort(1, FinishReason::kAbort);
    REQUIRE(core.Step(nullptr).ok());
  }
  std::vector<Collected> results(streams.size());
  for (std::size_t i = 0; i < streams.size(); ++i) Drain(*streams[i], &results[i]);
  return results;
}

TEST_CASE("cuda: a request that is ended while its step runs gets nothing more, and others lose nothing",
          "[E3]") {
  LoadedTiny cuda(MakeCudaLeg(), "smollm2");
  const auto core = cuda.Engine(nullptr, nullptr, OfFewBlocks(cuda, Options(true), 16));
  const std::vector<Collected> whole = RunWithEnding(*core, 100, false);
  REQUIRE(whole[0].tokens.size() == 14);
  for (int num_steps = 0; num_steps < 14; ++num_steps) {
    const bool by_deadline = num_steps % 2 == 1;
    INFO("after " << num_steps << " steps");
    const std::vector<Collected> got = RunWithEnding(*core, num_steps, by_deadline);
    CHECK(got[0].reason == (by_deadline ? FinishReason::kTimeout : FinishReason::kAbort));
    REQUIRE(got[0].tokens.size() < 14);
    CHECK(std::equal(got[0].tokens.begin(), got[0].tokens.end(), whole[0].tokens.begin()));
    CHECK(got[0].stats.num_generated_tokens == static_cast<int>(got[0].tokens.size()));
    CHECK(got[1].tokens == whole[1].tokens);
    CHECK(core->scheduler().block_pool().num_used() == 0);
  }
}

// What observers are told, summed up.
class Totals final : public EngineObserver {
 public:
  void OnStep(const StepStats& step) override {
    for (const StepStats::Emission& emission : step.emissions) num_tokens += emission.num_tokens;
    num_prompt_tokens += step.num_prompt_tokens;
  }
  void OnFinished(const Request&, const RequestStats& stats, FinishReason) override {
    ++num_finished;
    num_generated += stats.num_generated_tokens;
  }
  int num_tokens = 0, num_prompt_tokens = 0, num_finished = 0, num_generated = 0;
};

TEST_CASE("cuda: rows that are dropped count for nobody", "[E11]") {
  LoadedTiny cuda(MakeCudaLeg(), "smollm2");
  const auto core = cuda.Engine(nullptr, nullptr, Options(true));
  Totals totals;
  std::vector<std::shared_ptr<TokenStream>> streams;
  int prompt_tokens = 0;
  for (const auto& request : PlainRequests()) {
    if (request->choice > 0) continue;  // finds its prompt in the cache
    request->decoding = DecodingMethod::kPlain;
    prompt_tokens += static_cast<int>(request->prompt.size());
    streams.push_back(std::make_shared<TokenStream>(request));
    REQUIRE(core->Add(request, streams.back()).ok());
  }
  for (int step = 0; !core->idle(); ++step) {
    REQUIRE(step < 1000);
    REQUIRE(core->Step(&totals).ok());
  }
  int num_tokens = 0;
  for (const auto& stream : streams) {
    Collected got;
    Drain(*stream, &got);
    num_tokens += static_cast<int>(got.tokens.size());
    CHECK(got.stats.num_passes == static_cast<int>(got.tokens.size()));
  }
  CHECK(totals.num_tokens == num_tokens);
  CHECK(totals.num_generated == num_tokens);
  CHECK(totals.num_prompt_tokens == prompt_tokens);
  CHECK(totals.num_finished == static_cast<int>(streams.size()));
}

}  // namespace
}  // namespace reprise::test
