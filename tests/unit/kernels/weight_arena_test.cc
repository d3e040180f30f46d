#include "kernels/cpu/weight_arena.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <vector>

namespace reprise {
namespace {

TEST_CASE("ranges are aligned, zero and apart") {
  WeightArena arena;
  std::vector<ArenaRange> ranges;
  for (std::size_t bytes : {1, 64, 65, 1000, 1 << 20}) {
    Result<ArenaRange> range = arena.Allocate(bytes);
    REQUIRE(range.ok());
    CHECK(range->bytes == bytes);
    CHECK(reinterpret_cast<std::uintptr_t>(range->data) % 64 == 0);
    CHECK(std::all_of(range->data, range->data + bytes, [](std::byte b) { return b == std::byte{0}; }));
    std::fill_n(range->data, bytes, std::byte{0xff});  // the next one must still be zero
    ranges.push_back(*range);
  }
  CHECK(ranges.front().chunk == ranges.back().chunk);  // small ones share an allocation
}

TEST_CASE("a range larger than a chunk gets its own, and outlives the arena") {
  ArenaRange range;
  {
    WeightArena arena;
    REQUIRE(arena.Allocate(100).ok());
    Result<ArenaRange> large = arena.Allocate(std::size_t{40} << 20);
    REQUIRE(large.ok());
    range = *large;
  }
  range.data[range.bytes - 1] = std::byte{1};
  CHECK(range.chunk.use_count() == 1);
}

TEST_CASE("no memory is an error, not a crash") {
  WeightArena arena;
  const Result<ArenaRange> range = arena.Allocate(std::size_t{1} << 60);
  REQUIRE(!range.ok());
  CHECK(range.status().code() == StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace reprise
