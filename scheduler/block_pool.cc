#include "scheduler/block_pool.h"

#include "base/check.h"

namespace reprise {

BlockPool::BlockPool(int num_blocks)
    : num_blocks_(num_blocks), num_free_(num_blocks), nodes_(static_cast<std::size_t>(num_blocks) + 2) {
  REPRISE_CHECK(num_blocks > 0);
  for (const BlockId list : {blank_list(), cached_list()}) At(list).previous = At(list).next = list;
  for (BlockId block = 0; block < num_blocks; ++block) Append(blank_list(), block);
}

std::optional<BlockId> BlockPool::Allocate() {
  if (num_free_ == 0) return std::nullopt;
  const BlockId block = At(ListEmpty(blank_list()) ? cached_list() : blank_list()).next;
  Retain(block);
  ++At(block).generation;
  return block;
}

void BlockPool::Retain(BlockId block) {
  REPRISE_CHECK(block >= 0 && block < num_blocks_);
  if (At(block).ref_count++ > 0) return;
  Unlink(block);
  --num_free_;
}

void BlockPool::Release(BlockId block) {
  REPRISE_CHECK(block >= 0 && block < num_blocks_ && At(block).ref_count > 0);
  if (--At(block).ref_count > 0) return;
  // A blank one is used again soon: its memory is mapped and warm.
  At(block).cached ? Append(cached_list(), block) : Prepend(blank_list(), block);
  ++num_free_;
}

void BlockPool::SetCached(BlockId block, bool cached) {
  REPRISE_CHECK(block >= 0 && block < num_blocks_);
  At(block).cached = cached;
  if (At(block).ref_count > 0) return;
  Unlink(block);
  Append(cached ? cached_list() : blank_list(), block);
}

void BlockPool::Append(BlockId list, BlockId block) {
  const BlockId last = At(list).previous;
  At(block).previous = last;
  At(block).next = list;
  At(last).next = block;
  At(list).previous = block;
}

void BlockPool::Prepend(BlockId list, BlockId block) {
  const BlockId first = At(list).next;
  At(block).previous = list;
  At(block).next = first;
  At(list).next = block;
  At(first).previous = block;
}

void BlockPool::Unlink(BlockId block) {
  At(At(block).previous).next = At(block).next;
  At(At(block).next).previous = At(block).previous;
}

}  // namespace reprise
