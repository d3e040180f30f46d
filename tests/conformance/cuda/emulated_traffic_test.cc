// What crosses between host and device in a step, and how often the host waits: no more for a longer draft,
// and nothing between a draft's tokens.
#include <catch2/catch.hpp>

#include "kernels/cuda/emulation/runtime_api.h"
#include "tests/conformance/cuda/cuda_legs.h"
#include "tests/conformance/cuda/engine_scene.h"
#include "tests/unit/models/tiny_family.h"

namespace reprise::test {
namespace {

using cuda_emulation::Traffic;

// Of each step of decoding.
class TrafficWatch final : public EngineObserver {
 public:
  void OnStep(const StepStats& step) override {
    const Traffic traffic = cuda_emulation::TakeTraffic();
    if (step.num_prompt_tokens > 0) return;
    steps.push_back(traffic);
    num_drafted.push_back(step.num_tokens - step.num_sequences);
  }
  void OnFinished(const Request&, const RequestStats&, FinishReason) override {}
  std::vector<Traffic> steps;
  std::vector<int> num_drafted;
};

struct Wish {
  DecodingMethod method;
  int max_draft_tokens;
  bool penalties;
  bool seeded;
};

TrafficWatch Watch(const Wish& wish) {
  LoadedTiny cuda(MakeCudaLeg(), "smollm2");
  const std::unique_ptr<RecycleModule> module =
      MakeModule("tests/data/models/smollm2", *cuda.decoder, *cuda.backend, {});
  const std::unique_ptr<Decoder> draft_model = LoadTinyDecoder("smollm2", *cuda.backend);
  const auto core = cuda.Engine(module.get(), draft_model.get());
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (const auto& request : Requests(2, 60)) {
    request->prompt.resize(3);
    request->decoding = wish.method;
    request->max_draft_tokens = wish.max_draft_tokens;
    request->sampling.seeded = wish.seeded;
    request->sampling.num_logprobs = 2;
    if (wish.penalties) request->sampling.frequency_penalty = 0.2f;
    streams.push_back(std::make_shared<TokenStream>(request));
    REQUIRE(core->Add(request, streams.back()).ok());
  }
  TrafficWatch watch;
  while (!core->idle()) REQUIRE(core->Step(&watch).ok());
  return watch;
}

TEST_CASE("E13: a step is one copy to the device, one to the host, and one start; a draft adds one start") {
  struct Method {
    DecodingMethod method;
    int max_draft_tokens;
  };
  const auto [method, length] =
      GENERATE(Method{DecodingMethod::kPlain, 0}, Method{DecodingMethod::kRecycle, 1},
               Method{DecodingMethod::kRecycle, 3}, Method{DecodingMethod::kSpeculative, 4});
  const bool penalties = GENERATE(false, true);
  const bool seeded = GENERATE(false, true);
  const TrafficWatch watch = Watch({method, length, penalties, seeded});
  INFO(DecodingMethodName(method) << " " << length << ", penalties " << penalties << ", seeded " << seeded);
  // In the first ones lists are new, and in the last one not everybody drafts.
  REQUIRE(watch.steps.size() > 6);
  int graphs = 0, starts = 0;
  for (std::size_t i = 2; i + 2 < watch.steps.size(); ++i) {
    const Traffic& step = watch.steps[i];
    INFO("step " << i);
    const int lists = watch.num_drafted[i] > 0 ? 2 : 1;
    CHECK(step.copies_to_device == lists);
    CHECK(step.copies_to_host == 1);
    CHECK(step.allocations == 0);
    // For the results, and for drafts to be over; and for each list's copy before the next is written.
    CHECK(step.waits == 2 * lists);
    CHECK((watch.num_drafted[i] > 0) == (length > 0));
    graphs += step.graphs;
    starts += lists;
  }
  CHECK(2 * graphs > starts);
}

}  // namespace
}  // namespace reprise::test
