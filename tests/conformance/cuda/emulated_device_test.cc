// What only an emulated device can be made to do: run out of memory, and fault.
#include <atomic>
#include <catch2/catch.hpp>

#include "cli/session.h"
#include "engine/engine.h"
#include "kernels/cuda/emulation/runtime_api.h"
#include "tests/conformance/cuda/cuda_legs.h"
#include "tests/unit/engine/engine_fixture.h"

namespace reprise::test {
namespace {

constexpr char kModel[] = "tests/data/models/smollm2";

Result<std::unique_ptr<Decoder>> LoadOn(Backend& backend) {
  const ModelConfig config = LoadModelConfig(kModel).value();
  const auto checkpoint = std::move(Checkpoint::Open(kModel)).value();
  return Decoder::Load(*checkpoint, config, backend, config.max_position);
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

TEST_CASE("cuda: the KV cache takes what is left of the GPU's share") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  const auto weights = backend->Allocate(std::size_t{1} << 20);
  REQUIRE(weights.ok());
  const MemoryUse memory = backend->memory();
  EngineFlags flags;
  EngineOptions options;
  REQUIRE(SizeKvCache(*backend, flags, &options).ok());
  const auto share = static_cast<std::uint64_t>(0.9 * static_cast<double>(memory.total));
  CHECK(options.kv_cache_bytes == share - (memory.total - memory.free));

  flags.gpu_memory_utilization = 1e-4;
  const Status status = SizeKvCache(*backend, flags, &options);
  CHECK(status.code() == StatusCode::kResourceExhausted);
  CHECK_THAT(status.message(), Catch::Contains("in use") && Catch::Contains("--gpu-memory-utilization"));
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
