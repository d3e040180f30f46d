#include "cli/bench_run.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "cli/bench_profile.h"

namespace reprise {
namespace {

double Seconds(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

// Indices of the streams that have something to take. Shared with their listeners, which may outlive a run.
// One wake-up is enough for all the streams of a step: each takes time from the engine's threads.
class ReadyQueue {
 public:
  void Push(std::size_t stream) {
    bool first;
    {
      const std::lock_guard lock(mutex_);
      first = ready_.empty();
      ready_.push_back(stream);
    }
    if (first) changed_.notify_one();
  }
  // Waits until there are some.
  std::vector<std::size_t> TakeAll() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !ready_.empty(); });
    return std::exchange(ready_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::size_t> ready_;
};

void Add(const RequestStats& stats, RunFigures* out) {
  out->prompt_tokens += stats.num_prompt_tokens;
  out->generated_tokens += stats.num_generated_tokens;
  out->passes += stats.num_passes;
  out->draft_steps += stats.num_draft_steps;
  out->draft_tokens += stats.num_draft_tokens;
  out->accepted_tokens += stats.num_accepted_draft_tokens;
  for (std::size_t stood = 1; stood < stats.acceptance_histogram.size(); ++stood) {
    for (std::size_t k = 0; k < stood; ++k) {
      out->accepted_by_position[k] += stats.acceptance_histogram[stood];
    }
  }
}

}  // namespace

void StepTimer::Begin(TimePoint now) {
  prefill_ = decode_ = Part();
  last_step_ = now;
  if (profiler_ != nullptr) profiler_->Take();
}

void StepTimer::OnStep(const StepStats& step) {
  const TimePoint now = Clock::now();
  Part& part = step.num_prompt_tokens > 0 ? prefill_ : decode_;
  part.steps += 1;
  part.seconds += Seconds(last_step_, now);
  if (profiler_ != nullptr) MergeProfile(profiler_->Take(), &part.ops);
  if (step.num_prompt_tokens > 0) {
    part.tokens += step.num_prompt_tokens;
  } else {
    for (const StepStats::Emission& emission : step.emissions) part.tokens += emission.num_tokens;
  }
  last_step_ = now;
}

Result<RunFigures> RunRequests(Engine& engine, StepTimer& timer,
                               const std::vector<std::shared_ptr<Request>>& requests, int concurrency) {
  const auto ready = std::make_shared<ReadyQueue>();
  std::vector<std::shared_ptr<TokenStream>> streams;
  const auto submit = [&](std::size_t count) -> Status {
    const auto first = requests.begin() + static_cast<std::ptrdiff_t>(streams.size());
    const std::vector batch(first, first + static_cast<std::ptrdiff_t>(count));
    for (const auto& request : batch) request->arrival = Clock::now();
    ASSIGN_OR_RETURN(const auto submitted, engine.Submit(batch));
    for (const auto& stream : submitted) {
      stream->SetListener([ready, index = streams.size()] { ready->Push(index); });
      streams.push_back(stream);
    }
    return OkStatus();
  };
  const TimePoint start = Clock::now();
  timer.Begin(start);
  RunFigures figures;
  RETURN_IF_ERROR(submit(std::min(requests.size(), static_cast<std::size_t>(concurrency))));
  for (std::size_t finished = 0; finished < requests.size();) {
    for (const std::size_t stream : ready->TakeAll()) {
      const TokenBatch batch = streams[stream]->Take();
      if (!batch.finished) continue;
      RETURN_IF_ERROR(batch.status);
      ++finished;
      Add(batch.stats, &figures);
      if (streams.size() < requests.size()) RETURN_IF_ERROR(submit(1));
    }
  }
  figures.seconds = Seconds(start, Clock::now());
  // Streams end a moment before the engine has told its observer about the step.
  while (!engine.state().idle) std::this_thread::yield();
  return figures;
}

}  // namespace reprise
