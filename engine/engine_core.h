// The step loop without threads: plan, draft, run, verify, commit, publish. Owned by the engine thread; tests
// drive it directly.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/batch_builder.h"
#include "engine/decoding/drafting.h"
#include "engine/decoding/verifier.h"
#include "engine/device_draws.h"
#include "engine/engine.h"
#include "engine/kv_cache.h"
#include "engine/logits_processor.h"
#include "engine/token_stream.h"
#include "models/model.h"
#include "scheduler/scheduler.h"

namespace reprise {

class EngineCore {
 public:
  // As Engine::Create.
  static Result<std::unique_ptr<EngineCore>> Create(Backend& backend, const EngineModels& models,
                                                    const EngineOptions& options);

  // Hands the request to the scheduler; its tokens will go to `stream`. INVALID_ARGUMENT when it can never
  // fit.
  Status Add(std::shared_ptr<const Request> request, std::shared_ptr<TokenStream> stream);
  // Ends a request between two steps and tells its stream. No-op when it has ended already.
  void Abort(RequestId id, FinishReason reason, const Status& status = OkStatus());
  void AbortAll(FinishReason reason, const Status& status = OkStatus());
  // Ends requests whose deadline has passed.
  void ExpireDeadlines(TimePoint now);

  // One step. False when there was nothing to do. A device error ends every stream with kError and is
  // returned.
  Result<bool> Step(EngineObserver* observer);
  // Tests: other proposers, other costs. Before the first step.
  void set_drafting(std::unique_ptr<Drafting> drafting) { drafting_ = std::move(drafting); }
  // Whom to tell of requests that end before the first step.
  void set_observer(EngineObserver* observer) { observer_ = observer; }

  const Scheduler& scheduler() const { return scheduler_; }
  const EngineInfo& info() const { return info_; }
  const KvCache& kv_cache() const { return kv_; }
  const StepCosts& costs() const { return drafting_->costs(); }
  bool idle() const { return live_.empty(); }
  double kv_usage() const;

 private:
  // A request between Add and its end.
  struct Live {
    std::shared_ptr<TokenStream> stream;
    PenaltyState penalties;
    RequestStats stats = {};
    std::vector<GeneratedToken> prompt_logprobs = {};  // collected so far, until published
    bool prompt_published = false;
    std::multimap<TimePoint, RequestId>::iterator deadline = {};
    bool has_deadline = false;
    TimePoint last_emission = {};
  };

  EngineCore(Backend& backend, const EngineModels& models, const SchedulerConfig& config, KvCache kv,
             const EngineInfo& info);

  void BeginItems(const BatchPlan& plan, TimePoint now);
  // `logits` on the host; empty where the device has drawn.
  void VerifyAll(const BatchPlan& plan, ConstMatrixView logits);
  void CollectPromptLogprobs(const ScheduledSequence& item, ConstMatrixView logits, int first_row,
                             Live& live);
  // Commits, and hands each stream its tokens; nobody is told yet.
  void Commit(const BatchPlan& plan, TimePoint now);
  void CommitTokens(std::size_t item, int num_kept, TimePoint now);
  // Tells the streams, and ends those that are done.
  void Publish(const BatchPlan& plan, TimePoint now);
  void End(std::unordered_map<RequestId, Live>::iterator it, FinishReason reason, const Status& status,
           TimePoint now);

  Backend& backend_;
  Decoder& decoder_;
  Scheduler scheduler_;
  KvCache kv_;
  std::span<const KvLayer> target_kv_;  // the target's layers of kv_
  EngineInfo info_;
  BatchBuilder builder_;
  std::unique_ptr<Drafting> drafting_;
  std::vector<Verifier> verifiers_;          // one per host thread
  std::optional<DeviceDraws> device_draws_;  // where the backend draws tokens

  std::unordered_map<RequestId, Live> live_;
  std::multimap<TimePoint, RequestId> deadlines_;

  // Scratch of one step, kept to avoid allocation.
  std::vector<Draft> drafts_;                           // per item; may be longer: entries are reused
  std::vector<PenaltyState*> penalties_;                // per item
  std::vector<CommitOutcome> outcomes_;                 // per item
  std::vector<Live*> step_live_;                        // per item
  std::vector<std::vector<GeneratedToken>> generated_;  // per item
  std::vector<AcceptedTokens> accepted_;
  std::vector<Status> item_status_;
  std::vector<StepStats::Emission> emissions_;
  EngineObserver* observer_ = nullptr;
};

}  // namespace reprise
