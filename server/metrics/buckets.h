// Histogram bounds: vLLM's (vllm/v1/metrics/loggers.py), so that its dashboards fit, and below their first
// bound, for those of seconds, finer ones that a small model on a fast machine needs.
#pragma once

#include <vector>

namespace reprise {

std::vector<double> TimeToFirstTokenBuckets();  // seconds
std::vector<double> TokenLatencyBuckets();      // seconds between tokens
std::vector<double> RequestLatencyBuckets();    // seconds
std::vector<double> StepBuckets();              // seconds of one phase of an engine step
std::vector<double> IterationTokenBuckets();    // tokens of one engine step
std::vector<double> ChoiceBuckets();            // n
std::vector<double> TokensPerPassBuckets();
// 1, 2, 5, 10, 20, 50, ... up to `max`.
std::vector<double> OneTwoFiveBuckets(int max);

}  // namespace reprise
