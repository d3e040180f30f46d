// What state the daemon is in, whether it takes work, and whether it is healthy.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <string_view>

#include "base/status.h"

namespace reprise {

class Engine;

enum class Phase { kLoading, kReady, kDraining, kFailed };
std::string_view PhaseName(Phase phase);

// Any thread.
class Lifecycle {
 public:
  explicit Lifecycle(double stall_seconds) : stall_seconds_(stall_seconds) {}

  // `engine` must outlive the last call of Admit and Health.
  void BecomeReady(const Engine* engine);
  void BeginDrain();  // for good
  void Fail(std::string reason);

  // A lost device shows as kFailed.
  Phase phase() const;

  // OK when new work is taken; else UNAVAILABLE with the reason. What /ready answers.
  Status Admit() const;
  // OK when the engine makes progress or is idle; else UNAVAILABLE with the reason. What /health answers.
  Status Health() const;

 private:
  std::string FailureReason() const;

  const double stall_seconds_;
  std::atomic<Phase> phase_{Phase::kLoading};
  std::atomic<const Engine*> engine_{nullptr};
  mutable std::mutex mutex_;
  std::string failure_;
};

}  // namespace reprise
