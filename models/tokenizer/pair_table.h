// A hash table from a pair of token ids to the merge of the two.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "models/tokenizer/merge.h"

namespace reprise::tokenizer {

class PairTable {
 public:
  explicit PairTable(std::size_t pairs = 0) : slots_(std::bit_ceil(pairs * 2 + 2)) {}

  // A later merge of the same pair replaces the earlier one. Requires room: at most as many pairs as
  // announced.
  void Set(TokenId left, TokenId right, Merge merge) {
    Slot& slot = slots_[FindSlot(Key(left, right))];
    if (slot.key == kFree) ++count_;
    slot = {Key(left, right), merge};
  }

  std::optional<Merge> Find(TokenId left, TokenId right) const {
    const Slot& slot = slots_[FindSlot(Key(left, right))];
    if (slot.key == kFree) return std::nullopt;
    return slot.merge;
  }

  std::size_t size() const { return count_; }

 private:
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t key = kFree;
    Merge merge;
  };

  static std::uint64_t Key(TokenId left, TokenId right) {
    return (std::uint64_t{static_cast<std::uint32_t>(left)} << 32) | static_cast<std::uint32_t>(right);
  }
  std::size_t FindSlot(std::uint64_t key) const {
    const std::size_t mask = slots_.size() - 1;
    std::uint64_t hash = key * 0x9E3779B97F4A7C15u;  // Fibonacci hashing; the high bits are the mixed ones
    std::size_t slot = (hash ^ (hash >> 32)) & mask;
    while (slots_[slot].key != kFree && slots_[slot].key != key) slot = (slot + 1) & mask;
    return slot;
  }

  std::vector<Slot> slots_;
  std::size_t count_ = 0;
};

}  // namespace reprise::tokenizer
