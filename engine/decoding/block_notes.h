// Which blocks hold a proposer's keys and values. The scheduler shares, evicts and hands out blocks by what
// the *target* wrote there; a proposer may not have kept up.
#pragma once

#include <cstdint>
#include <vector>

#include "scheduler/block_pool.h"
#include "scheduler/sequence.h"

namespace reprise {

class BlockNotes {
 public:
  explicit BlockNotes(const BlockPool& pool)
      : pool_(pool), noted_(static_cast<std::size_t>(pool.num_total()), 0) {}

  // True from a call of Note until the block is handed out for something else.
  bool Noted(BlockId block) const {
    return noted_[static_cast<std::size_t>(block)] == pool_.generation(block);
  }
  void Note(BlockId block) { noted_[static_cast<std::size_t>(block)] = pool_.generation(block); }
  // The blocks of positions [begin, end) that lie wholly within.
  void NoteWhole(const Sequence& sequence, int begin, int end, int block_size) {
    for (int b = (begin + block_size - 1) / block_size; (b + 1) * block_size <= end; ++b) {
      Note(sequence.block_table[static_cast<std::size_t>(b)]);
    }
  }

 private:
  const BlockPool& pool_;
  std::vector<std::uint32_t> noted_;  // generation; 0 is never handed out
};

}  // namespace reprise
