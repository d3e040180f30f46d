#include "scheduler/block_pool.h"

#include <catch2/catch.hpp>
#include <set>

namespace reprise {

TEST_CASE("A pool hands out each block once and counts free and used", "[scheduler][S1]") {
  BlockPool pool(3);
  std::set<BlockId> blocks;
  for (int i = 0; i < 3; ++i) {
    CHECK(pool.num_used() == i);
    CHECK(pool.num_free() == 3 - i);
    blocks.insert(pool.Allocate().value());
  }
  CHECK(blocks == std::set<BlockId>{0, 1, 2});
  CHECK_FALSE(pool.Allocate().has_value());
  pool.Release(1);
  CHECK(pool.Allocate() == 1);
  CHECK(pool.num_total() == 3);
}

TEST_CASE("A block is free when its last reference is dropped", "[scheduler][S2]") {
  BlockPool pool(2);
  const BlockId block = pool.Allocate().value();
  pool.Retain(block);
  CHECK(pool.ref_count(block) == 2);
  pool.Release(block);
  CHECK(pool.num_free() == 1);
  pool.Release(block);
  CHECK(pool.ref_count(block) == 0);
  CHECK(pool.num_free() == 2);
}

TEST_CASE("A free block counts as free whether or not its content is cached", "[scheduler][S3]") {
  BlockPool pool(2);
  const BlockId block = pool.Allocate().value();
  pool.SetCached(block, true);
  CHECK(pool.num_free() == 1);
  pool.Release(block);
  CHECK(pool.num_free() == 2);
  CHECK(pool.cached(block));
  pool.Retain(block);
  CHECK(pool.num_free() == 1);
  CHECK(pool.ref_count(block) == 1);
}

TEST_CASE("Cached content is given up last, the least recently released first", "[scheduler][S6]") {
  BlockPool pool(4);
  BlockId blocks[4];
  for (BlockId& block : blocks) block = pool.Allocate().value();
  for (const int i : {0, 1, 2}) pool.SetCached(blocks[i], true);
  for (const int i : {2, 0, 3, 1}) pool.Release(blocks[i]);
  SECTION("blank blocks first, then by release") {
    CHECK(pool.Allocate() == blocks[3]);
    CHECK(pool.Allocate() == blocks[2]);
    CHECK(pool.Allocate() == blocks[0]);
    CHECK(pool.Allocate() == blocks[1]);
  }
  SECTION("a hit makes a block the most recent again") {
    pool.Retain(blocks[2]);
    pool.Release(blocks[2]);
    CHECK(pool.Allocate() == blocks[3]);
    CHECK(pool.Allocate() == blocks[0]);
    CHECK(pool.Allocate() == blocks[1]);
    CHECK(pool.Allocate() == blocks[2]);
  }
  SECTION("forgotten content makes a free block blank") {
    pool.SetCached(blocks[1], false);
    CHECK(pool.Allocate() == blocks[3]);
    CHECK(pool.Allocate() == blocks[1]);
    CHECK(pool.Allocate() == blocks[2]);
  }
}

}  // namespace reprise
