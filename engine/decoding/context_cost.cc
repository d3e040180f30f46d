#include "engine/decoding/context_cost.h"

#include <algorithm>

namespace reprise {
namespace {

constexpr double kTokenDeviation = 0.1;  // of what the tokens of a step are expected to take
constexpr double kPassDeviation = 0.1;   // of what a step takes, from one to the next
constexpr double kDrift = 0.002;         // of the cost, a step
// A pass that takes longer, measured in expected passes, was interrupted.
constexpr double kLongest = 1.5;

constexpr double Square(double x) {
  return x * x;
}

}  // namespace

void ContextCost::Observe(double pass_seconds, double token_seconds, int num_context) {
  if (num_context <= 0 || token_seconds <= 0) return;
  const double context = num_context;
  const double expected = token_seconds + seconds_ * context;
  // At first as much as itself, and enough to see what a tenth of the tokens' time would be.
  if (variance_ < 0) variance_ = Square(seconds_ + kTokenDeviation * token_seconds / context);
  variance_ += Square(kDrift * seconds_);
  const double noise = Square(kTokenDeviation * token_seconds) + Square(kPassDeviation * expected);
  const double gain = variance_ * context / (variance_ * Square(context) + noise);
  const double surprise = std::min(pass_seconds, kLongest * expected) - expected;
  seconds_ = std::max(0.0, seconds_ + gain * surprise);
  variance_ *= 1 - gain * context;
}

}  // namespace reprise
