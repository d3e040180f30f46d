// What one render may use. Every evaluated node, every text made and every byte looked through is charged
// here, so that a hostile template ends with an error instead of filling memory or time.
#pragma once

#include <cstddef>
#include <string>

#include "base/status.h"
#include "models/chat_template/chat_template.h"

namespace reprise::chat_template {

class Budget {
 public:
  explicit Budget(const ChatTemplateLimits& limits) : limits_(limits) {}

  Status Step(std::size_t count = 1) {
    if (count > limits_.max_steps - steps_) return Exhausted("steps", limits_.max_steps);
    steps_ += count;
    return OkStatus();
  }

  // Looking through `bytes` of text.
  Status Scan(std::size_t bytes) { return Step(bytes / kBytesPerStep); }

  // Making `bytes` of text: ask before making it.
  Status Produce(std::size_t bytes) {
    if (bytes > limits_.max_output_bytes - produced_)
      return Exhausted("bytes of text", limits_.max_output_bytes);
    produced_ += bytes;
    return Scan(bytes);
  }

  Status CheckDepth(int depth) const {
    return depth <= limits_.max_depth ? OkStatus() : Exhausted("levels of nesting", limits_.max_depth);
  }

  // One level of evaluation; every successful Enter is followed by a Leave.
  Status Enter() {
    RETURN_IF_ERROR(CheckDepth(depth_ + 1));
    RETURN_IF_ERROR(Step());
    ++depth_;
    return OkStatus();
  }
  void Leave() { --depth_; }

 private:
  // A memory scan is that much cheaper than evaluating a node.
  static constexpr std::size_t kBytesPerStep = 64;

  template <typename Number>
  static Status Exhausted(const char* unit, Number limit) {
    return ResourceExhausted("the template needs more than " + std::to_string(limit) + " " + unit);
  }

  const ChatTemplateLimits limits_;
  std::size_t steps_ = 0;
  std::size_t produced_ = 0;
  int depth_ = 0;
};

// Leaves the level it entered.
class DepthGuard {
 public:
  explicit DepthGuard(Budget& budget) : budget_(budget), status_(budget.Enter()) {}
  ~DepthGuard() {
    if (status_.ok()) budget_.Leave();
  }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;
  const Status& status() const { return status_; }

 private:
  Budget& budget_;
  const Status status_;
};

}  // namespace reprise::chat_template
