// The scheduler's record of a request: its tokens, how many of them are in the KV cache, and where.
#pragma once

#include <cstdint>
#include <memory>
#include <tuple>
#include <vector>

#include "base/types.h"
#include "scheduler/prefix_cache.h"
#include "scheduler/request.h"

namespace reprise {

// Owned by the Scheduler; touched by the engine thread only.
struct Sequence {
  std::shared_ptr<const Request> request;
  // Prompt, then what was generated and committed. Between CommitAhead and Resolve the last one may be below
  // zero: a stand-in for a token that only the device knows.
  std::vector<TokenId> tokens;
  int num_computed = 0;  // tokens whose keys and values are in the cache; < tokens.size() until finished
  std::vector<BlockId> block_table;  // block i holds positions [i * block_size, (i + 1) * block_size)
  int num_cached_prompt_tokens = 0;  // prompt tokens found in the prefix cache when it was first scheduled
  int num_preemptions = 0;
  bool running = false;
  bool ended = false;
  int num_in_flight = 0;    // plans it is part of whose outcome has not been recorded yet
  std::uint64_t order = 0;  // admission order, the tie-break after priority and arrival

  // Kept by BlockManager; of a sequence that is not running only the hashes mean anything.
  std::vector<std::uint64_t> block_hashes;  // of the leading full blocks, as far as they have been needed
  int num_cached_blocks = 0;                // leading blocks entered in, or taken from, the prefix cache
  PrefixId prefix_id = kEmptyPrefix;        // of those blocks together

  int num_prompt_tokens() const { return static_cast<int>(request->prompt.size()); }
  int num_generated() const { return static_cast<int>(tokens.size()) - num_prompt_tokens(); }
  int num_pending() const { return static_cast<int>(tokens.size()) - num_computed; }
  int num_known() const { return static_cast<int>(tokens.size()) - (tokens.back() < 0 ? 1 : 0); }
  // Only the last token's id is still to come: nothing is left to compute.
  bool complete() const { return request->max_tokens > 0 && num_generated() >= request->max_tokens; }
  int Slot(int position, int block_size) const {
    return block_table[static_cast<std::size_t>(position / block_size)] * block_size + position % block_size;
  }
};

// The order in which sequences get tokens, and the reverse of that in which they lose their blocks.
inline bool ComesBefore(const Sequence& a, const Sequence& b) {
  const Request& x = *a.request;
  const Request& y = *b.request;
  return std::tie(x.priority, x.arrival, a.order) < std::tie(y.priority, y.arrival, b.order);
}

}  // namespace reprise
