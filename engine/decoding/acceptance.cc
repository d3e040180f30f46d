#include "engine/decoding/acceptance.h"

#include <algorithm>
#include <cmath>

namespace reprise {
namespace {

constexpr double kPriorRate = 0.02;    // of the shared averages, once they have seen enough
constexpr double kPriorWeight = 2.0;   // drafted tokens that the prior counts for in a request's estimate
constexpr double kRecordDecay = 0.95;  // a draft
// A run of misses this unlikely is no bad luck: the text has changed.
constexpr double kSurprisingRun = 0.01;
constexpr double kHighest = 0.98;

}  // namespace

AcceptancePrior::AcceptancePrior(double initial) {
  for (Average& average : by_position_) average.value = initial;
  overall_.value = initial;
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

void AcceptanceRecord::Observe(int drafted, int accepted) {
  if (drafted == 0) return;
  successes_ = kRecordDecay * successes_ + accepted;
  trials_ = kRecordDecay * trials_ + std::min(drafted, accepted + 1);
  misses_in_a_row_ = accepted == 0 ? misses_in_a_row_ + 1 : 0;
}

double AcceptanceRecord::Overall(const AcceptancePrior& prior) const {
  const double average = (kPriorWeight * prior.overall() + successes_) / (kPriorWeight + trials_);
  if (std::pow(1.0 - std::min(average, kHighest), misses_in_a_row_) >= kSurprisingRun) return average;
  return std::min(average, 1.0 / (misses_in_a_row_ + 2));
}

double AcceptanceRecord::Estimate(const AcceptancePrior& prior, int position) const {
  // The prior knows how acceptance changes with the position, the record how this request differs.
  const double scale = Overall(prior) / std::max(prior.overall(), 1e-3);
  return std::clamp(prior.At(position) * scale, 0.0, kHighest);
}

}  // namespace reprise
