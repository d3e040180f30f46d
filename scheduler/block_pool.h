// The KV cache's physical blocks: who is referenced, who is free, and which free one to use next.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/types.h"

namespace reprise {

// Counts references to blocks 0 ... num_blocks - 1. A block that nobody references is free, whether or not it
// still has cached content; content is given up only when no blank block is left, the least recently released
// first. Every operation is O(1).
class BlockPool {
 public:
  explicit BlockPool(int num_blocks);

  // Takes a free block: the blank one released last if there is any, else the cached one that was released
  // longest ago (it is still marked as cached: the caller makes the prefix cache forget it). Its reference
  // count becomes 1. Nothing when no block is free.
  std::optional<BlockId> Allocate();

  // Adds a reference; a free block is taken back into use, content and all.
  void Retain(BlockId block);

  // Drops a reference; without references the block is free.
  void Release(BlockId block);

  // Says whether the block's content can be found again, and so is worth keeping while it is free.
  void SetCached(BlockId block, bool cached);

  int ref_count(BlockId block) const { return At(block).ref_count; }
  // How often the block was handed out by Allocate: names its content, so that what others have noted about a
  // block can be told from what they noted about an earlier content.
  std::uint32_t generation(BlockId block) const { return At(block).generation; }
  bool cached(BlockId block) const { return At(block).cached; }
  int num_total() const { return num_blocks_; }
  int num_free() const { return num_free_; }
  int num_used() const { return num_blocks_ - num_free_; }

 private:
  // Free blocks hang in one of two circular lists: blank ones last released first, cached ones oldest release
  // first. The lists' heads are the two nodes
  // behind the last block.
  struct Node {
    BlockId previous = -1;
    BlockId next = -1;
    int ref_count = 0;
    std::uint32_t generation = 0;
    bool cached = false;
  };

  Node& At(BlockId block) { return nodes_[static_cast<std::size_t>(block)]; }
  const Node& At(BlockId block) const { return nodes_[static_cast<std::size_t>(block)]; }
  BlockId blank_list() const { return num_blocks_; }
  BlockId cached_list() const { return num_blocks_ + 1; }
  bool ListEmpty(BlockId list) const { return At(list).next == list; }
  void Append(BlockId list, BlockId block);
  void Prepend(BlockId list, BlockId block);
  void Unlink(BlockId block);

  int num_blocks_;
  int num_free_;
  std::vector<Node> nodes_;  // [num_blocks + 2]
};

}  // namespace reprise
