// Memory of an emulated device: all that an engine will need is taken when it is made, and if that does not
// fit the message has the sum.
#include <catch2/catch.hpp>
#include <string>

#include "engine/engine.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/emulation/runtime_api.h"
#include "tests/conformance/cuda/cuda_legs.h"
#include "tests/conformance/cuda/engine_scene.h"
#include "tests/unit/models/tiny_family.h"

namespace reprise::test {
namespace {

constexpr std::size_t kRoomyDevice = std::size_t{4} << 30;
constexpr int kContext = 128;  // of the tiny models
constexpr std::size_t kGraphBytes = 24 * cuda_emulation::kGraphCommandBytes;

std::unique_ptr<Backend> MakeLeg(std::size_t graph_bytes, bool draw_tokens = true) {
  CudaBackendOptions options;
  options.num_threads = 2;
  options.graph_bytes = graph_bytes;
  options.draw_tokens = draw_tokens;
  return std::move(cuda::MakeBackend(options)).value();
}

// A target with all there is to draft for it.
struct Family {
  explicit Family(std::unique_ptr<Backend> backend, const char* name = "smollm2")
      : target(std::move(backend), name),
        module(MakeModule(std::string("tests/data/models/") + name, *target.decoder, *target.backend, {})),
        draft(LoadTinyDecoder(name, *target.backend)) {}

  Result<std::unique_ptr<EngineCore>> Engine(const EngineOptions& options) const {
    EngineModels models(*target.decoder);
    models.recycle = module.get();
    models.draft = draft.get();
    return EngineCore::Create(*target.backend, models, options);
  }

  LoadedTiny target;
  std::unique_ptr<RecycleModule> module;
  std::unique_ptr<Decoder> draft;
};

EngineOptions Options(int max_num_seqs) {
  EngineOptions options = TinyOptions();
  options.max_num_seqs = max_num_seqs;
  options.max_num_batched_tokens = 96;
  options.max_model_len = kContext;
  options.gpu_memory_utilization = 1.0;
  return options;
}

// Whole contexts, prompts in chunks of the largest size, prompts that are only scored, every filter and
// penalty, log-probabilities, and drafts of every proposer, as long as they can be.
std::vector<std::shared_ptr<Request>> LargestRequests(int count) {
  std::vector<std::shared_ptr<Request>> requests = DemandingRequests();
  requests.resize(static_cast<std::size_t>(count));
  std::mt19937 random(3);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    Request& request = *requests[i];
    request.stop_token_ids.clear();
    request.max_draft_tokens = kMaxDraftTokens;
    request.prompt = RandomPrompt(random, i % 4 == 0 ? kContext - 8 : kContext - 20);
    request.max_tokens = kContext - static_cast<int>(request.prompt.size());
    if (i % 4 == 2) request.max_tokens = 0;
    if (i % 4 == 2) request.prompt_logprobs = 1;
    if (i % 4 == 1) request.sampling.repetition_penalty = 1.2f;
  }
  return requests;
}

std::vector<std::vector<TokenId>> TokensOf(const std::vector<Collected>& results) {
  std::vector<std::vector<TokenId>> tokens;
  for (const Collected& result : results) {
    CHECK(result.reason == FinishReason::kLength);
    tokens.push_back(result.tokens);
  }
  return tokens;
}

TEST_CASE("E14: once an engine has been made nothing is allocated") {
  struct Case {
    const char* name;  // of weights in bf16, and in floats
    bool draw_tokens;
    int count;
  };
  const Case c = GENERATE(Case{"smollm2", true, 8}, Case{"smollm2", false, 4}, Case{"qwen2", true, 3});
  const Family family(MakeLeg(kGraphBytes, c.draw_tokens), c.name);
  EngineOptions options = Options(8);
  options.gpu_memory_utilization.reset();
  auto core = family.Engine(options);
  REQUIRE(core.ok());
  static_cast<void>(cuda_emulation::TakeTraffic());
  const std::vector<Collected> results = RunAll(**core, LargestRequests(c.count));
  int drafted = 0;
  for (const Collected& result : results) drafted += result.stats.num_draft_tokens;
  CHECK(drafted > 5);
  CHECK(cuda_emulation::TakeTraffic().allocations == 0);
}

// Memory in use once an engine is made, but for its cache.
std::size_t InUseBesideCache(std::size_t graph_bytes, const EngineOptions& options) {
  const Family family(MakeLeg(graph_bytes));
  const auto core = family.Engine(options);
  REQUIRE(core.ok());
  return cuda_emulation::DeviceMemoryInUse() - (*core)->info().kv_cache_bytes;
}

std::size_t CacheBytes(const Family& family, int num_blocks) {
  KvGeometry geometry = family.target.decoder->kv_geometry();
  geometry.num_blocks = num_blocks;
  const int layers = 2 * family.target.decoder->num_layers() + family.module->num_layers();
  return KvCache::Bytes(std::vector(static_cast<std::size_t>(layers), geometry),
                        family.module->hidden_size());
}

TEST_CASE("E14: an engine that a device has just enough memory for runs; with a byte less it is a message") {
  const EngineOptions options = Options(2);
  const std::size_t beside_cache = InUseBesideCache(0, options);
  std::vector<std::vector<TokenId>> roomy;
  std::size_t enough = 0;
  {
    const Family family(MakeLeg(0));
    roomy = TokensOf(RunAll(*family.Engine(options).value(), LargestRequests(3)));
    enough = beside_cache + CacheBytes(family, kContext / options.block_size);
  }
  Status refusal;
  {
    const Family family(MakeLeg(0));
    cuda_emulation::SetDeviceMemoryBytes(enough - 1);
    refusal = family.Engine(options).status();
  }
  CHECK(refusal.code() == StatusCode::kResourceExhausted);
  for (const char* part :
       {"less than max_model_len 128", "gpu_memory_utilization 1.00 allows", "weights", "activations",
        "drafts", "scratch memory", "graphs of steps", "Lower max_num_batched_tokens"}) {
    CHECK_THAT(refusal.message(), Catch::Contains(part));
  }
  cuda_emulation::SetDeviceMemoryBytes(enough);
  const Family family(MakeLeg(0));
  const auto core = family.Engine(options);
  REQUIRE(core.ok());
  CHECK(cuda_emulation::DeviceMemoryInUse() == enough);
  CHECK(TokensOf(RunAll(**core, LargestRequests(3))) == roomy);
  cuda_emulation::SetDeviceMemoryBytes(kRoomyDevice);
}

TEST_CASE("E14: what the largest operations stage finds room that was reserved") {
  const std::unique_ptr<Backend> backend = MakeLeg(0);
  constexpr int kRows = 1 << 18;
  constexpr int kColumns = 1 << 17;
  const StepLimits limits{.max_tokens = kRows,
                          .max_sequences = 1,
                          .max_logit_rows = 1,
                          .max_columns = kColumns,
                          .max_context = 64};
  REQUIRE(backend->Reserve(limits).ok());
  const DeviceRows logits(backend.get(), std::vector<float>(kColumns), 1, kColumns);
  const DeviceRows gathered(backend.get(), std::vector<float>(kRows), kRows, 1);
  const DeviceTokens token(backend.get(), {0});
  static_cast<void>(cuda_emulation::TakeTraffic());
  backend->GatherRows(gathered, std::vector<int>(kRows, 0), gathered.view());
  std::vector<LogitAdjustment> adjustments;
  for (TokenId i = 0; i < kColumns; ++i) adjustments.push_back({i, i == 99 ? 1.0f : 0.0f});
  RowDraw row;
  row.num_adjustments = kColumns;
  DrawArgs args;
  args.logits = logits.view();
  args.rows = std::span(&row, 1);
  args.adjustments = adjustments;
  args.tokens = token.data();
  backend->DrawRows(args);
  CHECK(token.Read() == std::vector<TokenId>{99});
  CHECK(cuda_emulation::TakeTraffic().allocations == 0);
}

TEST_CASE("E14: whichever allocation fails at the start, it is a message, and nothing is left behind") {
  const std::size_t in_use = cuda_emulation::DeviceMemoryInUse();
  int failures = 0;
  for (bool failed = true; failed; ++failures) {
    cuda_emulation::FailAllocationAfter(failures);
    CudaBackendOptions backend_options;
    backend_options.num_threads = 2;
    auto backend = cuda::MakeBackend(backend_options);
    Status status = backend.status();
    std::unique_ptr<Decoder> target, draft;
    for (std::unique_ptr<Decoder>* decoder : {&target, &draft}) {
      if (!status.ok()) break;
      auto loaded = TryLoadTinyDecoder("smollm2", **backend);
      status = loaded.status();
      if (loaded.ok()) *decoder = std::move(loaded).value();
    }
    if (status.ok()) {
      EngineModels models(*target);
      models.draft = draft.get();
      const auto core = EngineCore::Create(**backend, models, Options(2));
      status = core.status();
    }
    failed = !status.ok();
    INFO(failures << ": " << status.ToString());
    CHECK((!failed || status.code() == StatusCode::kResourceExhausted));
    if (backend.ok()) CHECK((*backend)->Synchronize().ok());  // not lost by it
    cuda_emulation::FailAllocationAfter(-1);
    draft.reset();
    target.reset();
    if (backend.ok()) backend->reset();
    REQUIRE(cuda_emulation::DeviceMemoryInUse() == in_use);
  }
  CHECK(failures > 40);
}

TEST_CASE("cuda: the KV cache takes what is left of the GPU's share") {
  EngineOptions options = Options(8);
  options.max_model_len = 0;
  const std::size_t beside_cache = InUseBesideCache(kGraphBytes, options);
  const Family family(MakeLeg(kGraphBytes));
  const std::size_t share = beside_cache + kGraphBytes + CacheBytes(family, 5);
  cuda_emulation::SetDeviceMemoryBytes(2 * share);
  options.gpu_memory_utilization = 0.5;
  {
    const auto core = family.Engine(options);
    REQUIRE(core.ok());
    CHECK((*core)->info().num_blocks == 5);
    CHECK((*core)->info().max_model_len == 5 * options.block_size);
  }
  options.gpu_memory_utilization = 0.05;
  const Status status = family.Engine(options).status();
  cuda_emulation::SetDeviceMemoryBytes(kRoomyDevice);
  CHECK(status.code() == StatusCode::kResourceExhausted);
  for (const char* part : {"no memory is left for the KV cache", "gpu_memory_utilization 0.05 allows",
                           "weights", "graphs of steps"})
    CHECK_THAT(status.message(), Catch::Contains(part));
}

TEST_CASE("cuda: a device error while steps are measured is the engine's at start") {
  const int launches = GENERATE(0, 1, 40, 200);
  LoadedTiny cuda(MakeCudaLeg(), "smollm2");
  EngineOptions options = TinyOptions();
  options.profile = true;
  cuda_emulation::FaultAfter(launches);
  const Status status = EngineCore::Create(*cuda.backend, EngineModels(*cuda.decoder), options).status();
  CHECK(status.code() == StatusCode::kInternal);
  CHECK_THAT(status.message(), Catch::Contains("launch failure"));
  CHECK_THAT(cuda_emulation::TakeFault(), Catch::Contains("asked for"));
}

TEST_CASE("cuda: graphs that there is no memory for are steps without graphs, with the same tokens") {
  LoadedTiny cuda(MakeCudaLeg(), "smollm2");
  const auto core = cuda.Engine();
  const auto requests = Requests(4, 20);
  cuda_emulation::SetDeviceMemoryBytes(cuda_emulation::DeviceMemoryInUse());
  const std::vector<Collected> without = RunAll(*core, requests);
  CHECK(cuda::GraphCountsOf(*cuda.backend).captured == 0);
  cuda_emulation::SetDeviceMemoryBytes(kRoomyDevice);
  const std::vector<Collected> with = RunAll(*core, Requests(4, 20));
  CHECK(cuda::GraphCountsOf(*cuda.backend).captured > 0);
  CHECK(TokensOf(without) == TokensOf(with));
}

}  // namespace
}  // namespace reprise::test
