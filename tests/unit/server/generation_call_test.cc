// A call on streams that the test ends by hand, in orders that an engine gives only now and then.
#include "server/generation_call.h"

#include <catch2/catch.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "models/tokenizer/tokenizer.h"
#include "server/metrics/metrics.h"

namespace reprise {
namespace {

struct TwoChoices {
  const std::unique_ptr<const Tokenizer> tokenizer =
      std::move(Tokenizer::Load("tests/data/models/smollm2")).value();
  Metrics metrics;
  std::vector<std::shared_ptr<TokenStream>> streams;
  std::unique_ptr<GenerationCall> call;

  TwoChoices() {
    for (RequestId id : {1, 2}) {
      const auto request = std::make_shared<Request>();
      request->id = id;
      request->prompt = {10};
      streams.push_back(std::make_shared<TokenStream>(request));
    }
    CallPlan plan;
    plan.tokenizer = tokenizer.get();
    plan.metrics = &metrics;
    call = std::make_unique<GenerationCall>(std::move(plan), streams);
  }

  void End(std::size_t choice, FinishReason reason) {
    streams[choice]->Finish(reason, OkStatus(), {});
    call->Poll();
  }
};

TEST_CASE("Nothing is shown of a call whose time is up before any choice has a token", "[service]") {
  TwoChoices two;
  two.End(0, FinishReason::kTimeout);
  CHECK_FALSE(two.call->HasDeltas());
  CHECK(two.call->TakeDeltas().empty());
  CHECK(two.call->status().ok());
  two.End(1, FinishReason::kTimeout);
  CHECK(two.call->finished());
  CHECK(two.call->status().code() == StatusCode::kDeadlineExceeded);
  CHECK(two.call->TakeDeltas().empty());
}

TEST_CASE("A choice that has timed out empty beside another one's text ends with the call", "[service]") {
  TwoChoices two;
  two.End(0, FinishReason::kTimeout);
  two.streams[1]->Push({20, 0, 0, {}});
  two.End(1, FinishReason::kTimeout);
  CHECK(two.call->status().ok());
  const std::vector<ChoiceDelta> deltas = two.call->TakeDeltas();
  REQUIRE(deltas.size() == 2);
  CHECK(deltas[0].finish_reason == FinishReason::kTimeout);
  CHECK(deltas[0].text.empty());
  CHECK_FALSE(deltas[1].text.empty());
}

}  // namespace
}  // namespace reprise
