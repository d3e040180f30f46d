// Finds KV blocks by what they hold: a full block's tokens after a given prefix.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/types.h"
#include "scheduler/block_pool.h"

namespace reprise {

// Names one cached prefix: the tokens of a block and of everything before it. Never used twice, so that a
// block whose parent was evicted can not be mistaken for the continuation of something else.
using PrefixId = std::uint64_t;
inline constexpr PrefixId kEmptyPrefix = 0;

// The hash of a block's tokens, chained to the hash of the prefix before it (0 for none).
std::uint64_t HashBlock(std::uint64_t parent_hash, std::span<const TokenId> tokens);

// At most one block per prefix. Hashes only find candidates: a hit has compared the tokens and the parent.
// Blocks are not owned; a free block stays findable until the pool hands it out again.
class PrefixCache {
 public:
  struct Entry {
    BlockId block = -1;
    PrefixId id = kEmptyPrefix;
  };

  // The pool outlives the cache.
  PrefixCache(BlockPool* pool, int block_size);

  // The block that holds `tokens` [block_size] behind the prefix `parent`. `hash` is their HashBlock.
  std::optional<Entry> Find(PrefixId parent, std::uint64_t hash, std::span<const TokenId> tokens) const;

  // Makes a computed block findable and returns the id of its prefix. If another block holds the same
  // already, that one stays and its id is returned.
  PrefixId Insert(PrefixId parent, std::uint64_t hash, std::span<const TokenId> tokens, BlockId block);

  // Drops the block's entry: its content is about to be overwritten.
  void Forget(BlockId block);

 private:
  struct Record {
    PrefixId id = kEmptyPrefix;  // kEmptyPrefix: the block is not cached
    PrefixId parent = kEmptyPrefix;
    std::uint64_t hash = 0;
  };

  Record& At(BlockId block) { return records_[static_cast<std::size_t>(block)]; }
  const Record& At(BlockId block) const { return records_[static_cast<std::size_t>(block)]; }
  std::span<const TokenId> TokensOf(BlockId block) const;

  BlockPool* pool_;
  std::size_t block_size_;
  PrefixId next_id_ = kEmptyPrefix + 1;
  std::vector<Record> records_;                         // [num_blocks]
  std::vector<TokenId> tokens_;                         // [num_blocks, block_size]
  std::unordered_map<std::uint64_t, BlockId> by_hash_;  // one candidate per hash
};

}  // namespace reprise
