#include "scheduler/prefix_cache.h"

#include <catch2/catch.hpp>
#include <vector>

namespace reprise {
namespace {

using Block = std::vector<TokenId>;
const Block kRed{1, 2, 3, 4};
const Block kBlue{5, 6, 7, 8};

struct Cache {
  BlockPool pool{8};
  PrefixCache cache{&pool, 4};

  BlockId Insert(PrefixId parent, std::uint64_t hash, const Block& tokens, PrefixId* id) {
    const BlockId block = pool.Allocate().value();
    *id = cache.Insert(parent, hash, tokens, block);
    return block;
  }
};

}  // namespace

TEST_CASE("A block is found by its tokens and its parent", "[scheduler][S5]") {
  Cache c;
  PrefixId red, red_blue;
  const BlockId first = c.Insert(kEmptyPrefix, 11, kRed, &red);
  const BlockId second = c.Insert(red, 12, kBlue, &red_blue);
  CHECK(red != red_blue);

  const auto hit = c.cache.Find(kEmptyPrefix, 11, kRed);
  REQUIRE(hit.has_value());
  CHECK(hit->block == first);
  CHECK(hit->id == red);
  REQUIRE(c.cache.Find(red, 12, kBlue).has_value());
  CHECK(c.cache.Find(red, 12, kBlue)->block == second);

  CHECK_FALSE(c.cache.Find(kEmptyPrefix, 13, kRed).has_value());
}

TEST_CASE("Equal hashes do not make a hit: tokens and parent are compared", "[scheduler][S5]") {
  Cache c;
  PrefixId red, other;
  c.Insert(kEmptyPrefix, 11, kRed, &red);
  CHECK_FALSE(c.cache.Find(kEmptyPrefix, 11, kBlue).has_value());
  CHECK_FALSE(c.cache.Find(red, 11, kRed).has_value());

  // The newer of two colliding contents is kept: the older one is nearly always out of reach.
  const BlockId newer = c.Insert(kEmptyPrefix, 11, kBlue, &other);
  CHECK(c.cache.Find(kEmptyPrefix, 11, kBlue)->block == newer);
  CHECK_FALSE(c.cache.Find(kEmptyPrefix, 11, kRed).has_value());
}

TEST_CASE("A block behind an evicted prefix is not found behind another", "[scheduler][S5]") {
  Cache c;
  PrefixId red, red_blue, again;
  const BlockId first = c.Insert(kEmptyPrefix, 11, kRed, &red);
  c.Insert(red, 12, kBlue, &red_blue);
  c.cache.Forget(first);
  CHECK_FALSE(c.cache.Find(kEmptyPrefix, 11, kRed).has_value());
  CHECK_FALSE(c.pool.cached(first));
  again = c.cache.Insert(kEmptyPrefix, 11, kBlue, first);
  CHECK(again != red);
  CHECK_FALSE(c.cache.Find(again, 12, kBlue).has_value());
}

TEST_CASE("Of two blocks with one content the first stays", "[scheduler][S5]") {
  Cache c;
  PrefixId id, twin_id;
  const BlockId block = c.Insert(kEmptyPrefix, 11, kRed, &id);
  const BlockId twin = c.Insert(kEmptyPrefix, 11, kRed, &twin_id);
  CHECK(twin_id == id);
  CHECK(c.cache.Find(kEmptyPrefix, 11, kRed)->block == block);
  CHECK_FALSE(c.pool.cached(twin));
}

TEST_CASE("Block hashes depend on every token, their order and the prefix", "[scheduler][S5]") {
  CHECK(HashBlock(0, kRed) == HashBlock(0, Block(kRed)));
  CHECK(HashBlock(0, kRed) != HashBlock(1, kRed));
  CHECK(HashBlock(0, kRed) != HashBlock(0, kBlue));
  CHECK(HashBlock(0, kRed) != HashBlock(0, Block{2, 1, 3, 4}));
  CHECK(HashBlock(0, kRed) != HashBlock(0, Block{1, 2, 3, 5}));
}

}  // namespace reprise
