// What KV memory holds before anything is stored in it.
#include "engine/kv_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstddef>
#include <utility>
#include <vector>

namespace reprise {
namespace {

constexpr int kLayers = 3;
constexpr std::size_t kPage = 4096;

KvCache MakeCache(Backend& backend, KvFill fill) {
  KvGeometry geometry;
  geometry.block_size = 16;
  geometry.num_kv_heads = 2;
  geometry.head_dim = 64;
  geometry.num_blocks = 1001;
  auto cache = KvCache::Allocate(backend, geometry, kLayers, fill);
  REQUIRE(cache.ok());
  return std::move(cache).value();
}

// Pages of the cache that are in memory.
std::size_t ResidentPages(const KvCache& cache) {
  std::vector<unsigned char> pages((cache.bytes() + kPage - 1) / kPage);
  REQUIRE(mincore(cache.layers()[0].keys, cache.bytes(), pages.data()) == 0);
  return static_cast<std::size_t>(
      std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return p & 1; }));
}

TEST_CASE("A populated cache takes all of its memory at once, an untouched one none") {
  auto backend = MakeReferenceBackend();
  const KvCache untouched = MakeCache(*backend, KvFill::kUntouched);
  CHECK(ResidentPages(untouched) == 0);
  const KvCache populated = MakeCache(*backend, KvFill::kZero);
  CHECK(ResidentPages(populated) == (populated.bytes() + kPage - 1) / kPage);
}

TEST_CASE("A poisoned cache is NaN from its first byte to its last") {
  auto backend = MakeReferenceBackend();
  const KvCache cache = MakeCache(*backend, KvFill::kNaN);
  const std::byte* bytes = cache.layers()[0].keys;
  CHECK(std::all_of(bytes, bytes + cache.bytes(), [](std::byte b) { return b == std::byte{0xff}; }));
}

}  // namespace
}  // namespace reprise
