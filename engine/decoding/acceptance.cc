#include "engine/decoding/acceptance.h"

#include <algorithm>
#include <cmath>

namespace reprise {
namespace {

constexpr double kPriorRate = 0.02;  // of the shared averages, once they have seen enough
constexpr double kInitial = 0.5;
constexpr double kPriorWeight = 20.0;  // successes that the prior counts for in a request's estimate
constexpr double kRecordDecay = 0.95;  // a draft
// A run of misses this unlikely is no bad luck: the text has changed.
constexpr double kSurprisingRun = 0.01;
constexpr double kHighest = 0.9;

}  // namespace

AcceptancePrior::AcceptancePrior() {
  for (Average& average : by_position_) average.value = kInitial;
  overall_.value = kInitial;
}

void AcceptancePrior::Average::Add(double outcome) {
  // The initial value weighs as much as four outcomes.
  const double rate = std::max(kPriorRate, 1.0 / (5.0 + count));
  value += rate * (outcome - value);
  ++count;
}

void AcceptancePrior::Observe(int drafted, int accepted) {
  for (int i = 0; i < std::min(drafted, accepted + 1); ++i) {
    const double outcome = i < accepted ? 1.0 : 0.0;
    by_position_[static_cast<std::size_t>(i)].Add(outcome);
    overall_.Add(outcome);
  }
}

void AcceptanceRecord::Observe(const AcceptancePrior& prior, int confidence, int drafted, int accepted) {
  if (drafted == 0) return;
  successes_ = kRecordDecay * successes_ + accepted;
  expected_ *= kRecordDecay;
  for (int i = 0; i < std::min(drafted, accepted + 1); ++i) expected_ += prior.At(i);
  int& misses = misses_in_a_row_[static_cast<std::size_t>(confidence)];
  misses = accepted == 0 ? misses + 1 : 0;
}

double AcceptanceRecord::Estimate(const AcceptancePrior& prior, int confidence, int position) const {
  const int misses = misses_in_a_row_[static_cast<std::size_t>(confidence)];
  // The prior knows how acceptance changes with the position, the record how this request differs.
  double scale = (kPriorWeight + successes_) / (kPriorWeight + expected_);
  const double overall = std::max(prior.overall(), 1e-3);
  if (std::pow(1.0 - std::min(overall * scale, kHighest), misses) < kSurprisingRun) {
    scale = std::min(scale, 1.0 / (misses + 2) / overall);
  }
  return std::clamp(prior.At(position) * scale, 0.0, kHighest);
}

}  // namespace reprise
