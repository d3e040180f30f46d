// The greedy merge loop of byte-pair encoding (Sennrich et al. 2016): again and again, the adjacent pair of
// lowest rank becomes one symbol, the leftmost of equals first. O(n log n): a heap of candidates over a
// linked list of symbols.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "models/tokenizer/span.h"

namespace reprise::tokenizer {

// What two neighbours become, and how urgently: lower ranks first.
struct Merge {
  std::int32_t rank = 0;
  TokenId id = 0;
};

// A token of the piece under way; `text` is its part of the piece.
struct Symbol {
  TokenId id = 0;
  bool merged_away = false;
  std::int32_t previous = -1;
  std::int32_t next = -1;
  Span text;
};

// Buffers kept from piece to piece.
struct MergeScratch {
  struct Candidate {
    Merge merge;
    std::int32_t left = 0;
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;

  void AddSymbol(TokenId id, Span text) {
    const auto index = static_cast<std::int32_t>(symbols.size());
    if (index > 0) symbols.back().next = index;
    symbols.push_back({id, false, index - 1, -1, text});
  }
};

// Merges `scratch->symbols` until nothing more can be; symbols that are left are those not merged_away, in
// order. find(left symbol, right symbol) -> std::optional<Merge>.
template <typename FindMerge>
void MergeSymbols(MergeScratch* scratch, const FindMerge& find) {
  auto& symbols = scratch->symbols;
  auto& heap = scratch->heap;
  const auto later = [](const MergeScratch::Candidate& a, const MergeScratch::Candidate& b) {
    return a.merge.rank != b.merge.rank ? a.merge.rank > b.merge.rank : a.left > b.left;
  };
  const auto at = [&](std::int32_t index) -> Symbol& { return symbols[static_cast<std::size_t>(index)]; };

  heap.clear();
  for (std::int32_t i = 0; i + 1 < static_cast<std::int32_t>(symbols.size()); ++i) {
    if (const auto merge = find(at(i), at(i + 1))) heap.push_back({*merge, i});
  }
  std::make_heap(heap.begin(), heap.end(), later);
  const auto push = [&](std::int32_t left) {
    if (left < 0 || at(left).next < 0) return;
    if (const auto merge = find(at(left), at(at(left).next))) {
      heap.push_back({*merge, left});
      std::push_heap(heap.begin(), heap.end(), later);
    }
  };

  while (!heap.empty()) {
    const MergeScratch::Candidate best = heap.front();
    std::pop_heap(heap.begin(), heap.end(), later);
    heap.pop_back();
    Symbol& left = at(best.left);
    if (left.merged_away || left.next < 0) continue;
    Symbol& right = at(left.next);
    const auto merge = find(left, right);
    if (!merge || merge->id != best.merge.id) continue;  // a neighbour has changed since
    left.id = best.merge.id;
    left.text.end = right.text.end;
    left.next = right.next;
    right.merged_away = true;
    if (left.next >= 0) at(left.next).previous = best.left;
    push(left.previous);
    push(best.left);
  }
}

// Appends the ids that are left.
inline void AppendMerged(const MergeScratch& scratch, std::vector<TokenId>* ids) {
  for (const Symbol& symbol : scratch.symbols) {
    if (!symbol.merged_away) ids->push_back(symbol.id);
  }
}

}  // namespace reprise::tokenizer
