// What only an emulated device can be made to do: run out of memory, and fault.
#include <atomic>
#include <catch2/catch.hpp>

#include "engine/engine.h"
#include "kernels/cuda/emulation/runtime_api.h"
#include "tests/conformance/cuda/cuda_legs.h"
#include "tests/conformance/cuda/engine_scene.h"

namespace reprise::test {
namespace {

Result<std::unique_ptr<Decoder>> LoadOn(Backend& backend) {
  return TryLoadTinyDecoder("smollm2", backend);
}

TEST_CASE("cuda: memory that runs out at the start is a message with the sum") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  const MemoryUse before = backend->memory();
  CHECK(before.total == std::size_t{4} << 30);
  cuda_emulation::SetDeviceMemoryBytes(before.total - before.free + (4 << 10));
  const auto starved = LoadOn(*backend);
  cuda_emulation::SetDeviceMemoryBytes(before.total);
  REQUIRE(!starved.ok());
  CHECK(starved.status().code() == StatusCode::kResourceExhausted);
  CHECK_THAT(starved.status().message(), Catch::Contains("do not fit: cuda:0") && Catch::Contains("free"));

  // The device is not lost by it.
  const auto decoder = LoadOn(*backend);
  REQUIRE(decoder.ok());
  EngineOptions options;
  options.kv_cache_bytes = std::uint64_t{64} << 20;
  cuda_emulation::SetDeviceMemoryBytes(before.total - backend->memory().free + (1 << 20));
  const auto core = EngineCore::Create(*backend, EngineModels(**decoder), options);
  cuda_emulation::SetDeviceMemoryBytes(before.total);
  REQUIRE(!core.ok());
  CHECK(core.status().code() == StatusCode::kResourceExhausted);
  CHECK(backend->Synchronize().ok());
}

TEST_CASE("cuda: keys and values in int8 are refused with what is allowed") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  const auto decoder = LoadOn(*backend);
  REQUIRE(decoder.ok());
  EngineOptions options;
  options.kv_type = KvType::kInt8;
  const Status status = EngineCore::Create(*backend, EngineModels(**decoder), options).status();
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK_THAT(status.message(), Catch::Contains("int8") && Catch::Contains("bf16 or f32"));
}

TEST_CASE("E9: a fault of the device ends every stream and the engine says so") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  const auto decoder = LoadOn(*backend);
  REQUIRE(decoder.ok());
  EngineOptions options;
  options.kv_cache_bytes = 4 << 20;
  std::atomic<int> num_failures = 0;
  options.on_failure = [&num_failures] { ++num_failures; };
  std::vector<std::shared_ptr<TokenStream>> streams;
  {
    auto engine = Engine::Create(*backend, EngineModels(**decoder), options, nullptr);
    REQUIRE(engine.ok());
    (*engine)->SetStalledForTest(true);
    std::mt19937 random(1);
    std::vector<std::shared_ptr<Request>> requests;
    for (int i = 0; i < 3; ++i)
      requests.push_back(MakeTestRequest((*engine)->NextRequestId(), RandomPrompt(random, 9), 100));
    auto submitted = (*engine)->Submit(requests);
    REQUIRE(submitted.ok());
    streams = *submitted;
    // A launch that no device accepts; the error stays.
    cuda_emulation::RunLaunch(
        {{1}, {2048}, 0}, [](const void*) {}, nullptr, 0);
    (*engine)->SetStalledForTest(false);
    for (const auto& stream : streams) {
      TokenBatch batch;
      do {
        stream->Wait();
        batch = stream->Take();
      } while (!batch.finished);
      CHECK(batch.finish_reason == FinishReason::kError);
      CHECK_THAT(batch.status.message(), Catch::Contains("cuda:0") && Catch::Contains("launch failure"));
    }
    while (!(*engine)->state().failed) {
    }
    CHECK_THAT((*engine)->state().failure, Catch::Contains("launch failure"));
    CHECK((*engine)->Submit({MakeTestRequest(99, RandomPrompt(random, 9), 5)}).status().code() ==
          StatusCode::kUnavailable);
  }
  CHECK(num_failures == 1);
  CHECK_THAT(cuda_emulation::TakeFault(), Catch::Contains("invalid launch configuration"));
}

}  // namespace
}  // namespace reprise::test
