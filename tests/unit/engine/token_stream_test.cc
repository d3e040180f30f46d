#include "engine/token_stream.h"

#include <catch2/catch.hpp>
#include <memory>

namespace reprise {
namespace {

TEST_CASE("A listener is told once per drained stream", "[engine][E4]") {
  TokenStream stream(std::make_shared<Request>());
  int calls = 0;
  stream.SetListener([&] { ++calls; });
  CHECK(calls == 0);
  stream.Push({1, 0, 0, {}});
  CHECK(calls == 0);  // pushed, not yet published
  stream.Publish();
  stream.Push({2, 0, 0, {}});
  stream.Publish();
  CHECK(calls == 1);  // not taken yet: told already
  TokenBatch batch = stream.Take();
  CHECK(batch.tokens.size() == 2);
  CHECK_FALSE(batch.finished);
  stream.Publish();
  CHECK(calls == 1);  // nothing new
  stream.Finish(FinishReason::kStop, OkStatus(), {});
  CHECK(calls == 2);
  CHECK(stream.Take().finished);
  CHECK_FALSE(stream.Take().finished);
}

TEST_CASE("A late listener hears of what is there", "[engine]") {
  TokenStream stream(std::make_shared<Request>());
  stream.Push({1, 0, 0, {}});
  stream.Publish();
  int calls = 0;
  stream.SetListener([&] { ++calls; });
  CHECK(calls == 1);
}

// A reader that an earlier publication woke may look at any time: it must not find half of a step.
TEST_CASE("The last tokens can be taken with the end only", "[engine]") {
  TokenStream stream(std::make_shared<Request>());
  stream.Push({1, 0, 0, {}});
  stream.Publish();
  stream.PushPrompt({{7, 0, 0, {}}});
  stream.Push({2, 0, 0, {}});
  TokenBatch batch = stream.Take();
  CHECK(batch.prompt.empty());
  REQUIRE(batch.tokens.size() == 1);
  CHECK(batch.tokens[0].token == 1);
  stream.Push({3, 0, 0, {}});
  CHECK(stream.Take().tokens.empty());
  stream.Finish(FinishReason::kLength, OkStatus(), {});
  batch = stream.Take();
  CHECK(batch.finished);
  CHECK(batch.prompt.size() == 1);
  REQUIRE(batch.tokens.size() == 2);
  CHECK(batch.tokens[0].token == 2);
  CHECK(batch.tokens[1].token == 3);
}

}  // namespace
}  // namespace reprise
