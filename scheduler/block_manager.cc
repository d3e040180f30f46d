#include "scheduler/block_manager.h"

#include <algorithm>

#include "base/check.h"

namespace reprise {

BlockManager::BlockManager(int num_blocks, int block_size, bool enable_prefix_cache)
    : block_size_(block_size),
      enable_prefix_cache_(enable_prefix_cache),
      pool_(num_blocks),
      prefix_cache_(&pool_, block_size) {}

int BlockManager::MaxTokens(const Sequence& sequence) const {
  return (static_cast<int>(sequence.block_table.size()) + pool_.num_free()) * block_size_;
}

bool BlockManager::Grow(Sequence* sequence, int num_tokens) {
  const int missing = BlocksFor(num_tokens) - static_cast<int>(sequence->block_table.size());
  if (missing > pool_.num_free()) return false;
  for (int i = 0; i < missing; ++i) {
    const BlockId block = *pool_.Allocate();
    if (pool_.cached(block)) prefix_cache_.Forget(block);
    sequence->block_table.push_back(block);
  }
  return true;
}

void BlockManager::Trim(Sequence* sequence) {
  const auto keep = static_cast<std::size_t>(BlocksFor(sequence->num_computed));
  // Last block first: a continuation is evicted before the prefix it needs.
  while (sequence->block_table.size() > keep) {
    pool_.Release(sequence->block_table.back());
    sequence->block_table.pop_back();
  }
}

void BlockManager::Release(Sequence* sequence) {
  sequence->num_computed = 0;
  Trim(sequence);
}

PrefixMatch BlockManager::MatchPrefix(Sequence* sequence) const {
  PrefixMatch match;
  if (!enable_prefix_cache_) return match;
  const int limit = (static_cast<int>(sequence->tokens.size()) - 1) / block_size_;
  for (int i = 0; i < limit; ++i) {
    const auto entry = prefix_cache_.Find(match.id, HashOf(sequence, i), BlockTokens(*sequence, i));
    if (!entry) break;
    match.blocks.push_back(entry->block);
    match.id = entry->id;
    if (pool_.ref_count(entry->block) == 0) ++match.num_free_blocks;
  }
  return match;
}

void BlockManager::AttachPrefix(Sequence* sequence, const PrefixMatch& match) {
  REPRISE_CHECK(sequence->block_table.empty());
  for (const BlockId block : match.blocks) pool_.Retain(block);
  sequence->block_table = match.blocks;
  sequence->num_cached_blocks = static_cast<int>(match.blocks.size());
  sequence->num_computed = sequence->num_cached_blocks * block_size_;
  sequence->prefix_id = match.id;
}

void BlockManager::CacheFullBlocks(Sequence* sequence) {
  if (!enable_prefix_cache_) return;
  for (int i = sequence->num_cached_blocks; i < sequence->num_computed / block_size_; ++i) {
    sequence->prefix_id =
        prefix_cache_.Insert(sequence->prefix_id, HashOf(sequence, i), BlockTokens(*sequence, i),
                             sequence->block_table[static_cast<std::size_t>(i)]);
    ++sequence->num_cached_blocks;
  }
}

std::span<const TokenId> BlockManager::BlockTokens(const Sequence& sequence, int index) const {
  return std::span(sequence.tokens)
      .subspan(static_cast<std::size_t>(index) * static_cast<std::size_t>(block_size_),
               static_cast<std::size_t>(block_size_));
}

std::uint64_t BlockManager::HashOf(Sequence* sequence, int index) const {
  auto& hashes = sequence->block_hashes;
  while (hashes.size() <= static_cast<std::size_t>(index)) {
    const std::uint64_t parent = hashes.empty() ? 0 : hashes.back();
    hashes.push_back(HashBlock(parent, BlockTokens(*sequence, static_cast<int>(hashes.size()))));
  }
  return hashes[static_cast<std::size_t>(index)];
}

}  // namespace reprise
