#include "scheduler/prefix_cache.h"

#include <algorithm>

#include "base/check.h"
#include "base/noise.h"

namespace reprise {

std::uint64_t HashBlock(std::uint64_t parent_hash, std::span<const TokenId> tokens) {
  std::uint64_t hash = MixBits(parent_hash);
  for (const TokenId token : tokens) hash = MixBits(hash ^ static_cast<std::uint32_t>(token));
  return hash;
}

PrefixCache::PrefixCache(BlockPool* pool, int block_size)
    : pool_(pool),
      block_size_(static_cast<std::size_t>(block_size)),
      records_(static_cast<std::size_t>(pool->num_total())),
      tokens_(records_.size() * block_size_) {
  by_hash_.reserve(records_.size());
}

std::optional<PrefixCache::Entry> PrefixCache::Find(PrefixId parent, std::uint64_t hash,
                                                    std::span<const TokenId> tokens) const {
  const auto candidate = by_hash_.find(hash);
  if (candidate == by_hash_.end()) return std::nullopt;
  const BlockId block = candidate->second;
  const Record& record = At(block);
  if (record.parent != parent || !std::ranges::equal(TokensOf(block), tokens)) return std::nullopt;
  return Entry{block, record.id};
}

PrefixId PrefixCache::Insert(PrefixId parent, std::uint64_t hash, std::span<const TokenId> tokens,
                             BlockId block) {
  REPRISE_CHECK(tokens.size() == block_size_);
  if (const auto existing = Find(parent, hash, tokens)) return existing->id;
  // The same hash for something else: nearly always the same tokens behind a prefix that has been evicted,
  // which nothing can reach any more.
  if (const auto stale = by_hash_.find(hash); stale != by_hash_.end()) Forget(stale->second);
  REPRISE_CHECK(At(block).id == kEmptyPrefix);
  At(block) = {next_id_++, parent, hash};
  std::ranges::copy(tokens, tokens_.begin() + static_cast<std::ptrdiff_t>(block_size_) * block);
  by_hash_.emplace(hash, block);
  pool_->SetCached(block, true);
  return At(block).id;
}

void PrefixCache::Forget(BlockId block) {
  REPRISE_CHECK(At(block).id != kEmptyPrefix);
  by_hash_.erase(At(block).hash);
  At(block) = {};
  pool_->SetCached(block, false);
}

std::span<const TokenId> PrefixCache::TokensOf(BlockId block) const {
  return std::span(tokens_).subspan(static_cast<std::size_t>(block) * block_size_, block_size_);
}

}  // namespace reprise
