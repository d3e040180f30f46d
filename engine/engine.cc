#include "engine/engine.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/noise.h"
#include "base/thread_name.h"
#include "engine/engine_core.h"
#include "models/decoder.h"

namespace reprise {
namespace {

double UnixSeconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

// The thread around EngineCore. Everything below `mutex_` is shared; `core_` belongs to the thread alone.
class Engine::Impl final : private EngineObserver {
 public:
  Impl(std::unique_ptr<EngineCore> core, const EngineOptions& options, EngineObserver* observer,
       int vocab_size)
      : core_(std::move(core)),
        info_(core_->info()),
        max_queued_(options.max_queued_requests),
        vocab_size_(vocab_size),
        observer_(observer),
        on_failure_(options.on_failure),
        seed_base_((std::uint64_t{std::random_device{}()} << 32) | std::random_device{}()),
        thread_([this] { Run(); }) {}

  ~Impl() override {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
      draining_ = true;
      stalled_ = false;
    }
    wake_.notify_all();
    thread_.join();
  }

  Result<std::vector<std::shared_ptr<TokenStream>>> Submit(std::vector<std::shared_ptr<Request>> requests) {
    for (const auto& request : requests) RETURN_IF_ERROR(CheckFits(*request));
    std::vector<std::shared_ptr<TokenStream>> streams;
    {
      std::lock_guard lock(mutex_);
      if (!failure_.empty()) return Unavailable("the engine has failed: " + failure_);
      if (draining_) return Unavailable("the server is shutting down");
      const std::size_t queued = submitted_.size() + static_cast<std::size_t>(state_.num_waiting);
      if (queued + requests.size() > static_cast<std::size_t>(max_queued_)) {
        return ResourceExhausted("the queue is full: " + std::to_string(queued) + " requests are waiting, " +
                                 std::to_string(requests.size()) + " more would exceed the limit of " +
                                 std::to_string(max_queued_));
      }
      for (auto& request : requests) {
        // All choices of a call share one seed; the choice index keeps their noise apart.
        if (!request->sampling.seeded) request->sampling.seed = MixBits(seed_base_ ^ request->group);
        streams.push_back(std::make_shared<TokenStream>(request));
        submitted_.push_back(streams.back());
      }
      // Time spent idle is not time without progress.
      if (std::exchange(state_.idle, false)) last_progress_ = Clock::now();
    }
    wake_.notify_one();
    return streams;
  }

  void Cancel(RequestId id) {
    {
      std::lock_guard lock(mutex_);
      cancelled_.push_back(id);
    }
    wake_.notify_one();
  }

  RequestId NextRequestId() { return next_id_.fetch_add(1, std::memory_order_relaxed); }

  void BeginDrain() {
    std::lock_guard lock(mutex_);
    draining_ = true;
  }

  bool FinishDrain(TimePoint deadline) {
    std::unique_lock lock(mutex_);
    draining_ = true;
    const auto done = [&] { return state_.idle || !failure_.empty(); };
    if (idle_.wait_until(lock, deadline, done)) return true;
    abort_all_ = true;
    lock.unlock();
    wake_.notify_one();
    lock.lock();
    // A stalled device may never come back: do not wait for it without end.
    idle_.wait_for(lock, std::chrono::seconds(2), done);
    return false;
  }

  EngineState state() const {
    std::lock_guard lock(mutex_);
    EngineState state = state_;
    state.failed = !failure_.empty();
    state.failure = failure_;
    state.num_waiting += static_cast<int>(submitted_.size());
    state.seconds_since_progress =
        state.idle ? 0.0 : std::chrono::duration<double>(Clock::now() - last_progress_).count();
    return state;
  }

  const EngineInfo& info() const { return info_; }

  void SetStalledForTest(bool stalled) {
    {
      std::lock_guard lock(mutex_);
      stalled_ = stalled;
    }
    wake_.notify_one();
  }

 private:
  Status CheckFits(const Request& request) const {
    const std::size_t total = request.prompt.size() + static_cast<std::size_t>(request.max_tokens);
    if (request.prompt.empty())
      return InvalidArgument("the prompt is empty; it needs at least one token", "prompt");
    if (total > static_cast<std::size_t>(info_.max_model_len)) {
      return InvalidArgument("the prompt has " + std::to_string(request.prompt.size()) +
                                 " tokens and max_tokens is " + std::to_string(request.max_tokens) +
                                 "; together they may be at most " + std::to_string(info_.max_model_len),
                             "max_tokens");
    }
    for (TokenId token : request.prompt) {
      if (token < 0 || token >= vocab_size_) {
        return InvalidArgument("prompt token id " + std::to_string(token) + " is outside the vocabulary of " +
                                   std::to_string(vocab_size_),
                               "prompt");
      }
    }
    return OkStatus();
  }

  void Run() {
    SetThreadName("engine");
    core_->set_observer(this);
    while (TakeCommands()) {
      core_->ExpireDeadlines(Clock::now());
      const Result<bool> stepped = core_->Step(this);
      if (UpdateState(stepped.status()) && on_failure_) on_failure_();
    }
    core_->AbortAll(FinishReason::kAbort);
  }

  // Waits for work when idle, then hands it to the core. False when the engine is to stop.
  bool TakeCommands() {
    std::deque<std::shared_ptr<TokenStream>> submitted;
    std::vector<RequestId> cancelled;
    bool abort_all = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] {
        if (stop_ || abort_all_) return true;
        return !stalled_ && (!core_->idle() || !submitted_.empty() || !cancelled_.empty());
      });
      if (stop_) return false;
      submitted.swap(submitted_);
      cancelled.swap(cancelled_);
      abort_all = std::exchange(abort_all_, false);
      // From idle to busy: the time spent idle is not time without progress.
      if (core_->idle()) last_progress_ = Clock::now();
      state_.num_waiting += static_cast<int>(submitted.size());
    }
    for (auto& stream : submitted) {
      const auto request = std::shared_ptr<const Request>(stream, &stream->request());
      if (Status status = core_->Add(request, stream); !status.ok()) {
        stream->Finish(FinishReason::kError, status, RequestStats{});
      }
    }
    for (RequestId id : cancelled) core_->Abort(id, FinishReason::kAbort);
    if (abort_all) core_->AbortAll(FinishReason::kAbort);
    return true;
  }

  // Before the step's tokens are published: whoever has a reply finds the load that it leaves.
  void OnStep(const StepStats& step) override {
    {
      std::lock_guard lock(mutex_);
      state_.num_running = step.num_running;
      state_.num_waiting = step.num_waiting;
      state_.kv_usage = step.kv_usage;
    }
    if (observer_ != nullptr) observer_->OnStep(step);
  }
  void OnFinished(const Request& request, const RequestStats& stats, FinishReason reason) override {
    if (observer_ != nullptr) observer_->OnFinished(request, stats, reason);
  }

  // True when the engine has failed just now.
  bool UpdateState(const Status& status) {
    std::lock_guard lock(mutex_);
    last_progress_ = Clock::now();
    const bool fails = !status.ok() && failure_.empty();
    if (fails) {
      failure_ = status.message();
      LogError("engine failed", {{"reason", failure_}});
    }
    state_.num_running = core_->scheduler().num_running();
    state_.num_waiting = core_->scheduler().num_waiting();
    state_.kv_usage = core_->kv_usage();
    state_.idle = core_->idle() && submitted_.empty();
    state_.last_step_unix_seconds = UnixSeconds();
    if (state_.idle) idle_.notify_all();
    return fails;
  }

  const std::unique_ptr<EngineCore> core_;
  const EngineInfo info_;
  const int max_queued_;
  const int vocab_size_;
  EngineObserver* const observer_;
  const std::function<void()> on_failure_;
  const std::uint64_t seed_base_;
  std::atomic<RequestId> next_id_{1};

  mutable std::mutex mutex_;
  std::condition_variable wake_;  // the engine thread waits here
  std::condition_variable idle_;  // FinishDrain waits here
  std::deque<std::shared_ptr<TokenStream>> submitted_;
  std::vector<RequestId> cancelled_;
  EngineState state_;
  TimePoint last_progress_ = Clock::now();
  std::string failure_;
  bool draining_ = false;
  bool abort_all_ = false;
  bool stop_ = false;
  bool stalled_ = false;

  std::thread thread_;  // last: it uses everything above
};

Result<std::unique_ptr<Engine>> Engine::Create(Backend& backend, const EngineModels& models,
                                               const EngineOptions& options, EngineObserver* observer) {
  ASSIGN_OR_RETURN(std::unique_ptr<EngineCore> core, EngineCore::Create(backend, models, options));
  return std::unique_ptr<Engine>(new Engine(
      std::make_unique<Impl>(std::move(core), options, observer, models.target->config().vocab_size)));
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Result<std::vector<std::shared_ptr<TokenStream>>> Engine::Submit(
    std::vector<std::shared_ptr<Request>> requests) {
  return impl_->Submit(std::move(requests));
}
void Engine::Cancel(RequestId id) {
  impl_->Cancel(id);
}
RequestId Engine::NextRequestId() {
  return impl_->NextRequestId();
}
void Engine::BeginDrain() {
  impl_->BeginDrain();
}
bool Engine::FinishDrain(TimePoint deadline) {
  return impl_->FinishDrain(deadline);
}
EngineState Engine::state() const {
  return impl_->state();
}
const EngineInfo& Engine::info() const {
  return impl_->info();
}
void Engine::SetStalledForTest(bool stalled) {
  impl_->SetStalledForTest(stalled);
}

}  // namespace reprise
