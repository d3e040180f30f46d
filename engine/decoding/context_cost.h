// What attention to one token of context costs, learnt from whole steps.
#pragma once

namespace reprise {

// A Kalman filter of one state. The cost of a step's tokens was measured well at start; that of context is a
// small difference of two times and may be far off, so a surprise is first of all its.
class ContextCost {
 public:
  explicit ContextCost(double seconds) : seconds_(seconds) {}

  // For one token of context.
  double seconds() const { return seconds_; }
  // A pass took `pass_seconds`; `token_seconds` of them were expected for its tokens, the rest is attention
  // to `num_context` others.
  void Observe(double pass_seconds, double token_seconds, int num_context);

 private:
  double seconds_;
  double variance_ = -1;  // of seconds_; negative before the first step
};

}  // namespace reprise
