#include "server/lifecycle.h"

#include <cstdio>
#include <utility>

#include "engine/engine.h"

namespace reprise {

std::string_view PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kLoading:
      return "loading";
    case Phase::kReady:
      return "ready";
    case Phase::kDraining:
      return "draining";
    case Phase::kFailed:
      return "failed";
  }
  return "unknown";
}

void Lifecycle::BecomeReady(const Engine* engine) {
  engine_ = engine;
  Phase expected = Phase::kLoading;
  phase_.compare_exchange_strong(expected, Phase::kReady);
}

void Lifecycle::BeginDrain() {
  phase_ = Phase::kDraining;
}

void Lifecycle::Fail(std::string reason) {
  const std::lock_guard lock(mutex_);
  failure_ = std::move(reason);
  phase_ = Phase::kFailed;
}

Phase Lifecycle::phase() const {
  const Phase phase = phase_;
  const Engine* engine = engine_;
  return phase != Phase::kFailed && engine != nullptr && engine->state().failed ? Phase::kFailed : phase;
}

std::string Lifecycle::FailureReason() const {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_.empty()) return failure_;
  }
  const Engine* engine = engine_;
  return engine != nullptr ? engine->state().failure : std::string();
}

Status Lifecycle::Admit() const {
  switch (phase()) {
    case Phase::kReady:
      return OkStatus();
    case Phase::kLoading:
      return Unavailable("the model is still loading");
    case Phase::kDraining:
      return Unavailable("the server is draining: it finishes what runs and takes nothing new");
    case Phase::kFailed:
      return Unavailable("the engine has failed: " + FailureReason());
  }
  return OkStatus();
}

Status Lifecycle::Health() const {
  RETURN_IF_ERROR(Admit());
  const EngineState state = engine_.load()->state();
  if (!state.idle && state.seconds_since_progress > stall_seconds_) {
    char text[128];
    std::snprintf(text, sizeof(text),
                  "the engine is stalled: work is pending and no step finished for %.1f s",
                  state.seconds_since_progress);
    return Unavailable(text);
  }
  return OkStatus();
}

}  // namespace reprise
