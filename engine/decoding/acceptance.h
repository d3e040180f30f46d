// How likely drafted tokens are to stand: by position, from what a proposer has done for everybody and what
// it has done for this request.
#pragma once

#include <array>

#include "base/types.h"

namespace reprise {

// Of one proposer, over all requests.
class AcceptancePrior {
 public:
  explicit AcceptancePrior(double initial);

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

// Of one proposer and one request.
class AcceptanceRecord {
 public:
  void Observe(int drafted, int accepted);
  // Probability that position i stands, given that those before it do.
  double Estimate(const AcceptancePrior& prior, int position) const;

 private:
  double Overall(const AcceptancePrior& prior) const;

  double successes_ = 0;  // of the latest drafts, older ones fading
  double trials_ = 0;
  int misses_in_a_row_ = 0;  // drafts whose first token fell
};

}  // namespace reprise
