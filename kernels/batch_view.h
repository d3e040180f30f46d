// One ragged step as the kernels see it: no requests, no methods, only arrays.
#pragma once

#include <span>

#include "base/types.h"

namespace reprise {

// T tokens of S sequences; R of the tokens want logits. Sequence s owns tokens [query_start[s],
// query_start[s+1]), at consecutive positions beginning with context_len[s], and the blocks
// block_ids[block_start[s] .. block_start[s+1]). Spans live until the step ends.
struct BatchView {
  std::span<const TokenId> token_ids;  // [T]
  std::span<const int> positions;      // [T] absolute position in the sequence
  std::span<const int> slots;          // [T] where K and V go: block id * block size + offset
  std::span<const int> query_start;    // [S+1]
  std::span<const int> context_len;    // [S] tokens of the sequence already in the cache before this step
  std::span<const int> block_start;    // [S+1]
  std::span<const BlockId> block_ids;  // concatenated block tables
  std::span<const int> logit_rows;     // [R] ascending indices into [T]
  // Device. A negative token id is a token that the device has drawn and the host need not know: -1 - i is
  // drawn[i].
  const TokenId* drawn = nullptr;

  int num_tokens() const { return static_cast<int>(token_ids.size()); }
  int num_sequences() const { return static_cast<int>(context_len.size()); }
  int num_logit_rows() const { return static_cast<int>(logit_rows.size()); }
};

}  // namespace reprise
