// What is started when, and what becomes of faults meanwhile: on an emulated device that does nothing before
// somebody waits for it.
#include <catch2/catch.hpp>

#include "kernels/cuda/emulation/runtime_api.h"
#include "tests/conformance/cuda/cuda_legs.h"
#include "tests/conformance/cuda/engine_scene.h"
#include "tests/unit/models/tiny_family.h"

namespace reprise::test {
namespace {

class DeferredStreams {
 public:
  DeferredStreams() : before_(cuda_emulation::StreamsAreDeferred()) {
    cuda_emulation::SetDeferredStreams(true);
  }
  ~DeferredStreams() { cuda_emulation::SetDeferredStreams(before_); }
  DeferredStreams(const DeferredStreams&) = delete;
  DeferredStreams& operator=(const DeferredStreams&) = delete;

 private:
  const bool before_;
};

// Counts steps, and those behind which another had been started when their results were taken.
class OrderWatch final : public EngineObserver {
 public:
  void OnStep(const StepStats&) override {
    ++num_steps;
    num_overtaken += cuda_emulation::NumWaiting() > 0;
  }
  void OnFinished(const Request&, const RequestStats&, FinishReason) override {}
  int num_steps = 0;
  int num_overtaken = 0;
};

std::vector<std::shared_ptr<TokenStream>> AddAll(EngineCore& core,
                                                 const std::vector<std::shared_ptr<Request>>& requests) {
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (const auto& request : requests) {
    streams.push_back(std::make_shared<TokenStream>(request));
    REQUIRE(core.Add(request, streams.back()).ok());
  }
  return streams;
}

OrderWatch Watch(const std::vector<std::shared_ptr<Request>>& requests, bool plan_ahead,
                 bool with_module = false) {
  const DeferredStreams deferred;
  LoadedTiny cuda(MakeCudaLeg(), "smollm2");
  EngineOptions options = TinyOptions();
  options.plan_ahead = plan_ahead;
  std::unique_ptr<RecycleModule> module;
  if (with_module) module = MakeModule("tests/data/models/smollm2", *cuda.decoder, *cuda.backend, {});
  const auto core = cuda.Engine(module.get(), nullptr, options);
  const auto streams = AddAll(*core, requests);
  OrderWatch watch;
  while (!core->idle()) REQUIRE(core->Step(&watch).ok());
  return watch;
}

TEST_CASE("E12: while a step of plain decoding runs, the next one has been started") {
  const int num_sequences = GENERATE(1, 8);
  std::vector<std::shared_ptr<Request>> requests = Requests(num_sequences, 20);
  const bool with_module = GENERATE(false, true);  // whose states the steps keep
  for (const auto& request : requests) request->decoding = DecodingMethod::kPlain;
  requests[0]->sampling.frequency_penalty = 0.5f;
  const OrderWatch ahead = Watch(requests, true, with_module);
  CHECK(ahead.num_steps >= 20);
  CHECK(ahead.num_overtaken == ahead.num_steps - 1);  // nothing follows the last
  const OrderWatch in_turn = Watch(requests, false);
  CHECK(in_turn.num_overtaken == 0);
}

TEST_CASE("E12: requests that leave it to the router run ahead while nothing is worth drafting") {
  std::vector<std::shared_ptr<Request>> requests = Requests(3, 30);
  CHECK(Watch(requests, true).num_overtaken > 15);
  for (const auto& request : requests) request->sampling.logit_bias = {{20, 100.0f}};  // repeat themselves
  const OrderWatch repeating = Watch(requests, true);
  CHECK(repeating.num_overtaken < 5);
  CHECK(repeating.num_steps < 20);
}

TEST_CASE("E12: what a token decides waits for it") {
  std::vector<std::shared_ptr<Request>> requests = Requests(2, 8);
  for (const auto& request : requests) request->decoding = DecodingMethod::kPlain;
  SECTION("a draft that was asked for") {
    requests[0]->decoding = DecodingMethod::kSpeculative;
    requests[1]->decoding = DecodingMethod::kSpeculative;
    CHECK(Watch(requests, true).num_overtaken == 0);
  }
  SECTION("scores of the prompt, for as long as it is computed") {
    requests[0]->prompt_logprobs = 1;
    const OrderWatch watch = Watch(requests, true);
    CHECK(watch.num_overtaken > 0);
    CHECK(watch.num_overtaken < watch.num_steps - 1);
  }
}

TEST_CASE("E9: a fault while two steps are under way ends every stream with one status") {
  const DeferredStreams deferred;
  int with_tokens = 0;
  for (int num_launches = 0; num_launches < 400; num_launches += 23) {
    INFO("after " << num_launches << " launches");
    LoadedTiny cuda(MakeCudaLeg(), "smollm2");
    const auto core = cuda.Engine();
    REQUIRE(cuda.backend->Synchronize().ok());
    std::vector<std::shared_ptr<Request>> requests = Requests(3, 30);
    for (const auto& request : requests) request->decoding = DecodingMethod::kPlain;
    const auto streams = AddAll(*core, requests);
    cuda_emulation::FaultAfter(num_launches);
    Status status;
    for (int step = 0; status.ok(); ++step) {
      REQUIRE(step < 100);
      status = core->Step(nullptr).status();
    }
    CHECK(core->idle());
    CHECK(core->scheduler().block_pool().num_used() == 0);
    for (const auto& stream : streams) {
      const TokenBatch batch = stream->Take();
      REQUIRE(batch.finished);
      CHECK(batch.finish_reason == FinishReason::kError);
      CHECK(batch.status.message() == status.message());
      with_tokens += !batch.tokens.empty();
    }
    CHECK_THAT(cuda_emulation::TakeFault(), Catch::Contains("asked for"));
  }
  CHECK(with_tokens > 0);
}

}  // namespace
}  // namespace reprise::test
