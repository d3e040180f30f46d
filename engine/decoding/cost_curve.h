// How long a step takes by how many tokens it computes: measured at start, corrected by every step since.
#pragma once

#include <vector>

namespace reprise {

class CostCurve {
 public:
  struct Point {
    int size = 0;  // tokens, or sequences; ascending
    double seconds = 0;
  };

  // No points: everything costs nothing.
  CostCurve() = default;
  explicit CostCurve(std::vector<Point> points);

  // Linear between the points, and on from the last two.
  double At(int size) const;
  // A step of that size took so long. What was measured at one size soon counts for its neighbours, slowly
  // for all others: a growing context makes every size slower, a busy machine too.
  void Observe(int size, double seconds);

 private:
  double Interpolate(int size, const std::vector<double>& values) const;

  std::vector<int> sizes_;
  std::vector<double> measured_;   // at start
  std::vector<double> corrected_;  // now
  double ratio_ = 1.0;             // of steps to what was measured at start, over all sizes
};

}  // namespace reprise
