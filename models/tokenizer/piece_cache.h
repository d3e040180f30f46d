// Remembers the tokens of recent words: text repeats itself, and looking a word up is several times faster
// than merging it. Lives for one call of Encode, so it needs no lock.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace reprise::tokenizer {

class PieceCache {
 public:
  // Sized for a text of so many bytes.
  explicit PieceCache(std::size_t text_bytes)
      : entries_(std::bit_ceil(std::clamp<std::size_t>(text_bytes / 8, 8, 4096))) {}

  // Appends the tokens of `word`; false when they are not known.
  bool AppendTo(std::string_view word, std::vector<TokenId>* ids) const {
    if (word.size() > kMaxBytes) return false;
    const Entry& entry = entries_[Slot(word)];
    if (std::string_view(entry.word.data(), entry.bytes) != word) return false;
    ids->insert(ids->end(), entry.ids.begin(), entry.ids.begin() + entry.count);
    return true;
  }

  // Takes the place of another word that falls into the same slot. Does nothing for long words.
  void Insert(std::string_view word, std::span<const TokenId> ids) {
    if (word.empty() || word.size() > kMaxBytes || ids.size() > kMaxTokens) return;
    Entry& entry = entries_[Slot(word)];
    std::copy(word.begin(), word.end(), entry.word.begin());
    std::copy(ids.begin(), ids.end(), entry.ids.begin());
    entry.bytes = static_cast<std::uint8_t>(word.size());
    entry.count = static_cast<std::uint8_t>(ids.size());
  }

 private:
  static constexpr std::size_t kMaxBytes = 30;
  static constexpr std::size_t kMaxTokens = 8;
  struct Entry {  // one cache line
    std::array<char, kMaxBytes> word;
    std::uint8_t bytes = 0;
    std::uint8_t count = 0;
    std::array<TokenId, kMaxTokens> ids;
  };

  std::size_t Slot(std::string_view word) const {
    return std::hash<std::string_view>()(word) & (entries_.size() - 1);
  }

  std::vector<Entry> entries_;
};

}  // namespace reprise::tokenizer
