// Gives sequences their blocks: grows and shrinks block tables over one pool, and shares full blocks of equal
// prefixes.
#pragma once

#include <vector>

#include "scheduler/block_pool.h"
#include "scheduler/prefix_cache.h"
#include "scheduler/sequence.h"

namespace reprise {

// The leading blocks of a sequence that the prefix cache holds.
struct PrefixMatch {
  std::vector<BlockId> blocks;
  PrefixId id = kEmptyPrefix;  // of all of them together
  int num_free_blocks = 0;     // how many of them nobody references yet
};

// The only writer of Sequence::block_table. All token counts are at most max_model_len.
class BlockManager {
 public:
  BlockManager(int num_blocks, int block_size, bool enable_prefix_cache);

  BlockManager(const BlockManager&) = delete;
  BlockManager& operator=(const BlockManager&) = delete;

  int BlocksFor(int num_tokens) const { return (num_tokens + block_size_ - 1) / block_size_; }
  int num_free() const { return pool_.num_free(); }
  const BlockPool& pool() const { return pool_; }

  // The most tokens whose slots the table could hold without taking a block from anyone.
  int MaxTokens(const Sequence& sequence) const;

  // Makes room for positions [0, num_tokens), all or nothing. False when there are too few free blocks.
  bool Grow(Sequence* sequence, int num_tokens);

  // Releases the blocks behind the computed tokens.
  void Trim(Sequence* sequence);

  // Releases the whole table; full blocks stay findable.
  void Release(Sequence* sequence);

  // Looks up the sequence's full blocks, leaving out its last token: that one has to be computed for its
  // logits.
  PrefixMatch MatchPrefix(Sequence* sequence) const;

  // Starts an empty table with the blocks, maybe none, of a match that was made just now.
  void AttachPrefix(Sequence* sequence, const PrefixMatch& match);

  // Makes blocks that became full of computed tokens findable.
  void CacheFullBlocks(Sequence* sequence);

 private:
  std::span<const TokenId> BlockTokens(const Sequence& sequence, int index) const;
  // Chained hash of a full block, computed once per sequence.
  std::uint64_t HashOf(Sequence* sequence, int index) const;

  int block_size_;
  bool enable_prefix_cache_;
  BlockPool pool_;
  PrefixCache prefix_cache_;
};

}  // namespace reprise
