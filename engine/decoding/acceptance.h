// How likely drafted tokens are to stand: by position, from what a proposer has done for everybody and what
// it has done for this request.
#pragma once

#include <array>

#include "base/types.h"
#include "engine/decoding/offer.h"

namespace reprise {

// Of one proposer at one confidence, over all requests.
class AcceptancePrior {
 public:
  AcceptancePrior();

  // Probability that position i of a draft stands, given that those before it do.
  double At(int position) const { return by_position_[static_cast<std::size_t>(position)].value; }
  double overall() const { return overall_.value; }
  // A draft of `drafted` tokens of which the first `accepted` stood.
  void Observe(int drafted, int accepted);

 private:
  struct Average {
    double value = 0;
    int count = 0;
    void Add(double outcome);
  };
  std::array<Average, kMaxDraftTokens> by_position_;
  Average overall_;
};

// Of one proposer and one request: how much better or worse its drafts stand here than elsewhere.
class AcceptanceRecord {
 public:
  // `prior` is that of the draft's confidence, before it has observed the draft.
  void Observe(const AcceptancePrior& prior, int confidence, int drafted, int accepted);
  // Probability that position i stands, given that those before it do.
  double Estimate(const AcceptancePrior& prior, int confidence, int position) const;

 private:
  double successes_ = 0;                                   // of the latest drafts, older ones fading
  double expected_ = 0;                                    // what the priors promised of the same
  std::array<int, kNumConfidences> misses_in_a_row_ = {};  // drafts whose first token fell
};

}  // namespace reprise
