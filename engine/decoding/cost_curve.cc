#include "engine/decoding/cost_curve.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace reprise {
namespace {

// Of the sizes next to a measured one.
constexpr double kNearRate = 0.2;
constexpr double kOverallRate = 0.05;  // of the ratio over all sizes
constexpr double kFarRate = 0.01;      // of all others towards that ratio
// A step that the machine interrupted says little, and many small surprises say more than a large one: the
// curve follows the middle of what steps take.
constexpr double kMaxSurprise = 0.15;

}  // namespace

CostCurve::CostCurve(std::vector<Point> points) {
  for (const Point& point : points) {
    sizes_.push_back(point.size);
    measured_.push_back(point.seconds);
  }
  // Less work never takes more time, and whatever disturbs a measurement makes it longer.
  for (std::size_t i = measured_.size(); i-- > 1;)
    measured_[i - 1] = std::min(measured_[i - 1], measured_[i]);
  corrected_ = measured_;
}

double CostCurve::Interpolate(int size, const std::vector<double>& values) const {
  if (values.empty()) return 0.0;
  if (values.size() == 1) return values[0];
  const auto upper = std::lower_bound(sizes_.begin(), sizes_.end(), size);
  const auto last = static_cast<std::ptrdiff_t>(sizes_.size()) - 1;
  const auto j = static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(upper - sizes_.begin(), 1, last));
  const double share = static_cast<double>(size - sizes_[j - 1]) / (sizes_[j] - sizes_[j - 1]);
  return std::max(values[j - 1] + share * (values[j] - values[j - 1]), 0.0);
}

double CostCurve::At(int size) const {
  return Interpolate(size, corrected_);
}

void CostCurve::Observe(int size, double seconds) {
  if (sizes_.empty()) return;
  const double expected = At(size);
  const double start = Interpolate(size, measured_);
  if (expected <= 0 || start <= 0) return;
  const double surprise = 1 + std::clamp(seconds / expected - 1, -kMaxSurprise, kMaxSurprise);
  ratio_ += kOverallRate * (surprise * expected / start - ratio_);
  const auto upper = std::lower_bound(sizes_.begin(), sizes_.end(), size) - sizes_.begin();
  for (std::size_t i = 0; i < sizes_.size(); ++i) {
    const auto at = static_cast<std::ptrdiff_t>(i);
    const bool near =
        at == upper || (at == upper - 1 && (upper == static_cast<std::ptrdiff_t>(sizes_.size()) ||
                                            sizes_[static_cast<std::size_t>(upper)] != size));
    if (near) {
      corrected_[i] *= 1 + kNearRate * (surprise - 1);
    } else {
      corrected_[i] += kFarRate * (measured_[i] * ratio_ - corrected_[i]);
    }
  }
  for (std::size_t i = 1; i < corrected_.size(); ++i) {
    corrected_[i] = std::max(corrected_[i], corrected_[i - 1]);
  }
}

}  // namespace reprise
