#include "server/metrics/buckets.h"

#include <utility>

namespace reprise {
namespace {

// `bounds`, with 0.1 ms to 5 ms added below its first.
std::vector<double> WithFineBounds(std::vector<double> bounds) {
  constexpr double kFine[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005};
  std::vector<double> all;
  for (double bound : kFine) {
    if (bound < bounds.front()) all.push_back(bound);
  }
  all.insert(all.end(), bounds.begin(), bounds.end());
  return all;
}

}  // namespace

std::vector<double> TimeToFirstTokenBuckets() {
  return WithFineBounds({0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,  0.25,  0.5,   0.75,
                         1.0,   2.5,   5.0,  7.5,  10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0});
}

std::vector<double> TokenLatencyBuckets() {
  return WithFineBounds({0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5,
                         10.0, 20.0, 40.0, 80.0});
}

std::vector<double> RequestLatencyBuckets() {
  return WithFineBounds({0.3,  0.5,  0.8,  1.0,  1.5,   2.0,   2.5,   5.0,   10.0,   15.0,  20.0,
                         30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0});
}

std::vector<double> StepBuckets() {
  return {0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
          0.01,    0.025,    0.05,    0.1,    0.25,    0.5,    1.0,   2.5,    5.0};
}

std::vector<double> IterationTokenBuckets() {
  return {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
}

std::vector<double> ChoiceBuckets() {
  return {1, 2, 5, 10, 20};
}

std::vector<double> TokensPerPassBuckets() {
  return {1, 2, 3, 4, 5, 6, 8, 10, 12, 17};
}

std::vector<double> OneTwoFiveBuckets(int max) {
  std::vector<double> bounds;
  for (double decade = 1;; decade *= 10) {
    for (double step : {1.0, 2.0, 5.0}) {
      if (decade * step > max) return bounds;
      bounds.push_back(decade * step);
    }
  }
}

}  // namespace reprise
