// The engine: one thread that owns all mutable decoding state and runs the step loop of docs/architecture.md.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/route.h"
#include "engine/token_stream.h"
#include "kernels/backend.h"
#include "scheduler/request.h"

namespace reprise {

class Decoder;
class RecycleModule;

// What the engine runs; all outlive it.
struct EngineModels {
  EngineModels(Decoder& target_model) : target(&target_model) {}  // NOLINT: a target alone is fine

  Decoder* target;
  RecycleModule* recycle = nullptr;  // nullptr: none
  Decoder* draft = nullptr;          // nullptr: none
};

struct EngineOptions {
  std::uint64_t kv_cache_bytes = std::uint64_t{1} << 30;  // keys and values of all layers
  // On a device with memory of its own: the share of it that may be in use, by the models, the engine, and
  // others. The KV cache then takes, in the place of kv_cache_bytes, what all else leaves of it.
  std::optional<double> gpu_memory_utilization;
  KvType kv_type = KvType::kBF16;
  int block_size = 16;
  int max_model_len = 0;  // 0: the model's own context, or what the cache can hold
  int max_num_seqs = 64;
  int max_num_batched_tokens = 512;
  int max_num_logit_rows = 0;      // rows of logits in one step; 0: 64 or twice max_num_seqs, the larger
  int max_queued_requests = 1024;  // waiting, over all calls
  bool enable_prefix_cache = true;
  bool profile = true;  // measure at start what steps cost, for the router
  // Called once, on the engine thread, when the device has been lost and every stream has ended with kError.
  std::function<void()> on_failure;
  // Where the backend draws tokens: the host plans a step while the one before runs. false: to compare with.
  bool plan_ahead = true;
  bool poison_kv = false;  // tests: fill the cache with NaN first, so that a read of unwritten memory shows
};

// One step, as observers see it. Spans live during the call.
struct StepStats {
  // forward_seconds: until the results are there; of a step planned ahead, since those of the one before.
  double plan_seconds = 0, forward_seconds = 0, sample_seconds = 0, commit_seconds = 0;
  int num_tokens = 0;         // computed in this step
  int num_prompt_tokens = 0;  // of them, prefill
  int num_logit_rows = 0;     // of the target's head
  int num_sequences = 0;
  int num_preempted = 0;
  int num_running = 0, num_waiting = 0;  // after the step
  double kv_usage = 0;                   // 0..1, after the step
  std::int64_t prefix_queries = 0, prefix_hits = 0;
  // One entry per sequence that got tokens: how many, and the seconds since its previous ones (or, for the
  // first ones, since arrival: time to first token).
  struct Emission {
    int num_tokens = 0;
    bool first = false;
    double seconds = 0;
    DecodingMethod method = DecodingMethod::kPlain;
    // How it was decoded in this step; no proposer and no drafts for plain steps.
    std::optional<ProposerKind> proposer = std::nullopt;
    int num_drafted = 0;
    int num_accepted = 0;  // of the drafted tokens, those that stood
    RouteReason reason = RouteReason::kRequested;
  };
  std::span<const Emission> emissions;
  // The router's estimate of tokens per second if the whole batch were decoded so, by DecodingMethod; 0:
  // none.
  std::array<double, kNumMethods> goodput = {};
};

// Called on the engine thread; must be quick.
class EngineObserver {
 public:
  virtual ~EngineObserver() = default;
  virtual void OnStep(const StepStats& step) = 0;
  virtual void OnFinished(const Request& request, const RequestStats& stats, FinishReason reason) = 0;
};

// A snapshot for health checks and gauges; safe from any thread.
struct EngineState {
  int num_running = 0;
  int num_waiting = 0;
  double kv_usage = 0;  // share of blocks referenced by live sequences
  bool failed = false;  // the device was lost; every stream has ended with kError
  std::string failure;
  bool idle = true;
  double seconds_since_progress = 0;  // since the last finished step; 0 when idle
  double last_step_unix_seconds = 0;
};

struct EngineInfo {
  int max_model_len = 0;
  int block_size = 0;
  int num_blocks = 0;
  int max_num_seqs = 0;
  std::string backend;
  std::uint64_t kv_cache_bytes = 0;
  std::vector<ProposerKind> proposers;  // that can be asked for; prompt look-up is always among them
};

class Engine {
 public:
  // RESOURCE_EXHAUSTED when the cache cannot be allocated or holds less than one block per sequence;
  // INVALID_ARGUMENT names the option. `backend`, the models and `observer` (may be nullptr) must outlive the
  // engine.
  static Result<std::unique_ptr<Engine>> Create(Backend& backend, const EngineModels& models,
                                                const EngineOptions& options, EngineObserver* observer);
  ~Engine();  // aborts what still runs

  // Takes all of `requests` or none (one call's prompts and choices). Any thread. RESOURCE_EXHAUSTED when the
  // queue is full; UNAVAILABLE when draining or failed; INVALID_ARGUMENT when one can never fit. Ids must be
  // unique among live requests (NextRequestId gives such ids).
  Result<std::vector<std::shared_ptr<TokenStream>>> Submit(std::vector<std::shared_ptr<Request>> requests);
  // The request ends with kAbort within one step; no-op when it has ended. Any thread.
  void Cancel(RequestId id);
  RequestId NextRequestId();

  // Refuses new work from now on; running requests continue.
  void BeginDrain();
  // Waits until idle or the deadline, then aborts the rest. True when nothing had to be aborted.
  bool FinishDrain(TimePoint deadline);

  EngineState state() const;
  const EngineInfo& info() const;

  // Tests: the step loop pauses before its next step until released (a stalled device).
  void SetStalledForTest(bool stalled);

 private:
  class Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace reprise
