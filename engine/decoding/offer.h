// What a proposer would bring to a sequence, before it is asked to draft.
#pragma once

namespace reprise {

// Classes of how sure a proposer is; how often drafts stand is learnt for each by itself.
inline constexpr int kNumConfidences = 3;

struct DraftOffer {
  int to_read = 0;     // tokens of the sequence that it must read before it can draft: part of the cost
  int confidence = 0;  // 0 ... kNumConfidences - 1
};

}  // namespace reprise
