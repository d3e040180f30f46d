// One timed run of `reprise bench`: requests driven through the engine, so many at a time.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"
#include "kernels/profiling_backend.h"

namespace reprise {

// Times steps, each from the end of the step before it: what happens between two steps counts. Begin and the
// figures only while the engine is idle.
class StepTimer final : public EngineObserver {
 public:
  struct Part {
    int steps = 0;
    int tokens = 0;
    double seconds = 0;
    std::vector<OpProfile> ops;  // of those steps, with a profiler
  };

  // `profiler`, if any, is the backend the engine runs on.
  explicit StepTimer(ProfilingBackend* profiler = nullptr) : profiler_(profiler) {}

  void Begin(TimePoint now);
  void OnStep(const StepStats& step) override;
  void OnFinished(const Request&, const RequestStats&, FinishReason) override {}

  const Part& prefill() const { return prefill_; }  // steps with prompt tokens, and those tokens
  const Part& decode() const { return decode_; }    // steps without, and the tokens they gave

 private:
  ProfilingBackend* const profiler_;
  Part prefill_, decode_;
  TimePoint last_step_{};
};

struct RunFigures {
  double seconds = 0;
  int prompt_tokens = 0;
  int generated_tokens = 0;
  int passes = 0;  // of the target, summed over sequences
  int draft_steps = 0;
  int draft_tokens = 0;
  int accepted_tokens = 0;
  std::array<int, kMaxDraftTokens> accepted_by_position = {};
};

// Keeps `concurrency` of the requests running, in order, until all have ended. `timer` observes the engine.
Result<RunFigures> RunRequests(Engine& engine, StepTimer& timer,
                               const std::vector<std::shared_ptr<Request>>& requests, int concurrency);

}  // namespace reprise
