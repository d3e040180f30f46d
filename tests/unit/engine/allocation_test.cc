// What steady decoding takes from the heap: nothing for what the model computes, whose workspaces have grown
// to the size of a step and stay, and little for the bookkeeping of a step.
#include <atomic>
#include <cstdlib>
#include <new>

#include "engine/kv_cache.h"
#include "tests/unit/engine/engine_fixture.h"

namespace {
std::atomic<std::size_t> allocations{0};
}  // namespace

void* operator new(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* memory = std::malloc(bytes > 0 ? bytes : 1);
  if (memory == nullptr) std::abort();
  return memory;
}
// By itself this one calls the other, but for that of a sanitizer.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return operator new(bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace reprise {
namespace {

TEST_CASE("a forward pass no larger than those before allocates nothing", "[engine]") {
  TinyModel model;
  Decoder& decoder = *model.decoder;
  REQUIRE(decoder.Reserve(4, 4).ok());
  KvGeometry geometry = decoder.kv_geometry();
  geometry.num_blocks = 3;
  geometry.type = GENERATE(KvType::kF32, KvType::kBF16, KvType::kInt8);
  const std::vector<KvGeometry> layers(static_cast<std::size_t>(decoder.num_layers()), geometry);
  const KvCache cache = std::move(KvCache::Allocate(*model.backend, layers, true)).value();
  const std::vector<TokenId> token_ids = {7};
  const std::vector<BlockId> block_ids = {0, 1, 2};
  const std::vector<int> query_start = {0, 1}, logit_rows = {0};
  for (int position = 0; position < 3 * geometry.block_size; ++position) {
    const std::vector<int> at = {position};
    const int blocks = position / geometry.block_size + 1;
    const std::vector<int> block_start = {0, blocks};
    const BatchView batch{token_ids,
                          at,
                          at,
                          query_start,
                          at,
                          block_start,
                          std::span(block_ids).first(static_cast<std::size_t>(blocks)),
                          logit_rows};
    const std::size_t before = allocations.load();
    decoder.Forward(batch, cache.layers());
    const std::size_t taken = allocations.load() - before;
    INFO("position " << position);
    if (position > 0) CHECK(taken == 0);
  }
  CHECK(model.backend->Synchronize().ok());
}

TEST_CASE("a step's bookkeeping takes few allocations a sequence", "[engine]") {
  TinyModel model;
  const auto core = std::move(EngineCore::Create(*model.backend, *model.decoder, EngineOptions())).value();
  constexpr int kSequences = 4;
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (RequestId id = 1; id <= kSequences; ++id) {
    const float temperature = id % 2 == 0 ? 1.0f : 0.0f;
    const auto request = MakeTestRequest(id, std::vector<TokenId>(20, 7), 60, temperature);
    streams.push_back(std::make_shared<TokenStream>(request));
    REQUIRE(core->Add(request, streams.back()).ok());
  }
  for (int step = 0; step < 8; ++step) REQUIRE(core->Step(nullptr).ok());
  for (int step = 8; step < 50; ++step) {
    const std::size_t count = allocations.load();
    REQUIRE(core->Step(nullptr).ok());
    const std::size_t taken = allocations.load() - count;
    INFO("step " << step);
    CHECK(taken <= 10 * kSequences);
  }
}

}  // namespace
}  // namespace reprise
