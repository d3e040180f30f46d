// The engine's thread: submission, cancellation, queue bound, drain, stall.
#include <atomic>
#include <thread>

#include "engine/engine.h"
#include "models/model.h"
#include "tests/unit/engine/engine_fixture.h"

namespace reprise {
namespace {

struct Served {
  std::unique_ptr<Backend> backend = MakeReferenceBackend();
  std::unique_ptr<Model> model;
  std::unique_ptr<Engine> engine;

  explicit Served(EngineOptions options = {}) {
    options.kv_cache_bytes = std::uint64_t{4} << 20;
    options.poison_kv = true;
    auto loaded = Model::Load("tests/data/models/smollm2", *backend);
    INFO(loaded.status().ToString());
    REQUIRE(loaded.ok());
    model = std::move(loaded).value();
    auto made = Engine::Create(*backend, model->decoder(), options, nullptr);
    INFO(made.status().ToString());
    REQUIRE(made.ok());
    engine = std::move(made).value();
  }

  std::shared_ptr<Request> NewRequest(int prompt, int max_tokens) {
    auto request =
        MakeTestRequest(engine->NextRequestId(), RandomPrompt(random, prompt), max_tokens, 1.0f, 1);
    return request;
  }

  std::mt19937 random{5};
};

Collected Await(TokenStream& stream) {
  Collected result;
  while (!result.finished) {
    stream.Wait();
    Drain(stream, &result);
  }
  return result;
}

void WaitUntilIdle(const Engine& engine) {
  while (!engine.state().idle) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST_CASE("Requests from many threads all end", "[engine][E4]") {
  Served served;
  std::vector<std::thread> clients;
  std::atomic<int> tokens{0};
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      std::mt19937 random(static_cast<unsigned>(c));
      for (int i = 0; i < 5; ++i) {
        auto request = MakeTestRequest(served.engine->NextRequestId(), RandomPrompt(random, 8), 6);
        auto streams = served.engine->Submit({request});
        if (streams.ok()) tokens += static_cast<int>(Await(*streams.value()[0]).tokens.size());
      }
    });
  }
  for (std::thread& client : clients) client.join();
  CHECK(tokens == 4 * 5 * 6);
  WaitUntilIdle(*served.engine);
  const EngineState state = served.engine->state();
  CHECK(state.num_running == 0);
  CHECK(state.num_waiting == 0);
  CHECK(state.kv_usage == 0);
  CHECK(state.last_step_unix_seconds > 1.6e9);
}

TEST_CASE("A stalled engine shows, the queue bound holds, cancelled requests end", "[engine][E3][E5][E6]") {
  EngineOptions options;
  options.max_queued_requests = 3;
  Served served(options);
  served.engine->SetStalledForTest(true);
  auto streams = served.engine->Submit({served.NewRequest(5, 100), served.NewRequest(5, 100)});
  REQUIRE(streams.ok());
  const auto refused = served.engine->Submit({served.NewRequest(5, 5), served.NewRequest(5, 5)});
  CHECK(refused.status().code() == StatusCode::kResourceExhausted);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EngineState state = served.engine->state();
  CHECK_FALSE(state.idle);
  CHECK(state.num_waiting == 2);
  CHECK(state.seconds_since_progress >= 0.02);
  for (auto& stream : *streams) served.engine->Cancel(stream->request().id);
  served.engine->SetStalledForTest(false);
  for (auto& stream : *streams) {
    const Collected result = Await(*stream);
    CHECK(result.reason == FinishReason::kAbort);
  }
  WaitUntilIdle(*served.engine);
  CHECK(served.engine->state().kv_usage == 0);
  CHECK(served.engine->state().seconds_since_progress == 0);
}

TEST_CASE("What can never fit is refused at once, with the numbers", "[engine]") {
  Served served;
  const int room = served.engine->info().max_model_len;
  const auto long_prompt = served.engine->Submit({served.NewRequest(room, 1)});
  CHECK(long_prompt.status().code() == StatusCode::kInvalidArgument);
  CHECK(long_prompt.status().message().find(std::to_string(room)) != std::string::npos);
  auto outside = served.NewRequest(3, 1);
  outside->prompt[1] = 1 << 20;
  CHECK(served.engine->Submit({outside}).status().param() == "prompt");
  CHECK(served.engine->Submit({served.NewRequest(0, 1)}).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("Drain lets running requests finish, refuses new ones, aborts at the deadline", "[engine][E7]") {
  Served served;
  auto running = served.engine->Submit({served.NewRequest(5, 40)});
  REQUIRE(running.ok());
  served.engine->BeginDrain();
  CHECK(served.engine->Submit({served.NewRequest(5, 5)}).status().code() == StatusCode::kUnavailable);
  CHECK(served.engine->FinishDrain(Clock::now() + std::chrono::minutes(1)));
  CHECK(Await(*running.value()[0]).tokens.size() == 40);

  Served slow;
  slow.engine->SetStalledForTest(true);
  auto stuck = slow.engine->Submit({slow.NewRequest(5, 40)});
  REQUIRE(stuck.ok());
  CHECK_FALSE(slow.engine->FinishDrain(Clock::now()));
  CHECK(Await(*stuck.value()[0]).reason == FinishReason::kAbort);
}

TEST_CASE("Unseeded requests differ, seeded ones repeat", "[engine]") {
  Served served;
  std::mt19937 random(1);
  const auto prompt = RandomPrompt(random, 6);
  const auto run = [&](bool seeded) {
    auto request = MakeTestRequest(served.engine->NextRequestId(), prompt, 20, 1.0f, 9);
    request->sampling.seeded = seeded;
    auto streams = served.engine->Submit({request});
    REQUIRE(streams.ok());
    return Await(*streams.value()[0]).tokens;
  };
  CHECK(run(true) == run(true));
  CHECK(run(false) != run(false));
}

}  // namespace
}  // namespace reprise
