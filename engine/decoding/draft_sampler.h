// Draws a drafted token from a proposer's logits, through the same pipeline as the target's.
#pragma once

#include <span>
#include <vector>

#include "engine/decoding/proposer.h"
#include "engine/sampler.h"

namespace reprise {

// Scratch rows of one thread.
class DraftSampler {
 public:
  // `vocab_size` is the target's; row entry i scores head_tokens[i] (ascending), or token i when that is
  // empty. Both outlive the sampler.
  DraftSampler(int vocab_size, std::span<const TokenId> head_tokens)
      : vocab_size_(vocab_size), head_tokens_(head_tokens) {}

  // Appends to request.draft the token that follows the sequence and the draft so far, and under the
  // rejection rule its distribution. `penalties` includes the draft so far. False when no logit is finite;
  // the draft then ends.
  bool Draw(const DraftRequest& request, std::span<const float> logits);

 private:
  int vocab_size_;
  std::span<const TokenId> head_tokens_;
  std::vector<float> row_;  // [vocab_size] or as long as the logits
  FilteredDistribution filtered_;
};

}  // namespace reprise
