// Token texts by id and ids by text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace reprise::tokenizer {

// Far above any published vocabulary; bounds what a damaged file can make us allocate.
inline constexpr TokenId kMaxTokenId = (1 << 22) - 1;

// Strings by token id in one block of memory.
class TokenStrings {
 public:
  // Requires an id in [0, kMaxTokenId] that has no string yet.
  void Set(TokenId id, std::string_view text);
  bool Has(TokenId id) const { return id >= 0 && id < size() && entries_[Index(id)].offset != kAbsent; }
  // Empty for an id without a string. Requires 0 <= id < size().
  std::string_view Get(TokenId id) const;
  // One past the largest id.
  int size() const { return static_cast<int>(entries_.size()); }
  void Reserve(std::size_t ids, std::size_t bytes);

 private:
  static constexpr std::size_t kAbsent = static_cast<std::size_t>(-1);
  struct Entry {
    std::size_t offset = kAbsent;
    std::size_t length = 0;
  };
  static std::size_t Index(TokenId id) { return static_cast<std::size_t>(id); }

  std::string bytes_;
  std::vector<Entry> entries_;
};

class Vocabulary {
 public:
  // DATA_LOSS for an id out of range, or an id or text that is already there.
  Status Add(std::string_view text, std::int64_t id);
  std::optional<TokenId> Find(std::string_view text) const;
  bool Has(TokenId id) const { return texts_.Has(id); }
  std::string_view Text(TokenId id) const { return texts_.Get(id); }
  // One past the largest id; there may be gaps below.
  int size() const { return texts_.size(); }
  int count() const { return count_; }
  void Reserve(std::size_t tokens, std::size_t bytes);

 private:
  static constexpr TokenId kFree = -1;
  // Where `text` is or would go.
  std::size_t FindSlot(std::string_view text) const;
  void Rehash(std::size_t slots);

  TokenStrings texts_;
  std::vector<TokenId> slots_ = std::vector<TokenId>(16, kFree);  // open addressing, a power of two
  int count_ = 0;
};

}  // namespace reprise::tokenizer
