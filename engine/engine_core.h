// The step loop without threads: plan, draft, run, verify, commit, publish. Where the backend draws tokens
// the host plans and starts a step while the one before runs, whenever what it plans is certain
// (step_order.cc). Owned by the engine thread; tests drive it directly.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/decoding/drafting.h"
#include "engine/decoding/verifier.h"
#include "engine/engine.h"
#include "engine/engine_memory.h"
#include "engine/engine_step.h"
#include "engine/kv_cache.h"
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
  // Ends a request between two calls of Step and tells its stream. No-op when it has ended already.
  void Abort(RequestId id, FinishReason reason, const Status& status = OkStatus());
  void AbortAll(FinishReason reason, const Status& status = OkStatus());
  // Ends requests whose deadline has passed.
  void ExpireDeadlines(TimePoint now);

  // One step, or the end of one and the start of the next. False when there was nothing to do. A device error
  // ends every stream with kError and is returned.
  Result<bool> Step(EngineObserver* observer);
  // Tests: other proposers, other costs. Before the first step.
  void set_drafting(std::unique_ptr<Drafting> drafting) { drafting_ = std::move(drafting); }
  // Whom to tell of requests that end before the first step.
  void set_observer(EngineObserver* observer) { observer_ = observer; }

  const Scheduler& scheduler() const { return scheduler_; }
  const EngineInfo& info() const { return info_; }
  const KvCache& kv_cache() const { return memory_.kv; }
  // Tests: what proposers of theirs draw into.
  DrawnMemory drawn_memory() const {
    return {memory_.drawn != nullptr ? memory_.drawn->data() : nullptr,
            scheduler_.config().max_num_logit_rows};
  }
  const StepCosts& costs() const { return drafting_->costs(); }
  bool idle() const { return live_.empty(); }
  double kv_usage() const;

 private:
  using LiveRequests = std::unordered_map<RequestId, LiveRequest>;

  EngineCore(Backend& backend, const EngineModels& models, const SchedulerConfig& config, EngineMemory memory,
             const EngineInfo& info);
  // Drafting, and a step for the one that runs and, where the next can be planned meanwhile, one for that.
  Status Prepare(const EngineModels& models, const EngineOptions& options);
  void End(LiveRequests::iterator it, FinishReason reason, const Status& status, TimePoint now);

  // step_order.cc: which step is planned when.
  EngineStep* StartNext(EngineStep* running);
  void CommitAhead(EngineStep& step);
  bool MayBeOvertaken(const EngineStep& step) const;
  // Ends what still runs, for nobody.
  void DropInFlight();

  // engine_step.cc: one step.
  // Plans and starts it; `ahead` of the end of the step before. False when there is nothing to plan.
  bool Start(EngineStep& step, bool ahead);
  void BeginItems(EngineStep& step);
  // Waits for it, commits and publishes. On a device error every request ends instead.
  Status Finish(EngineStep& step);
  // `logits` on the host; empty where the device has drawn.
  void VerifyAll(EngineStep& step, ConstMatrixView logits);
  Status VerifyItem(EngineStep& step, std::size_t item, ConstMatrixView logits, Verifier& verifier);
  Status CollectPromptLogprobs(const EngineStep& step, std::size_t item, ConstMatrixView logits);
  // Hands each stream its tokens; nobody is told yet.
  void CommitAll(EngineStep& step, TimePoint now);
  void CommitTokens(EngineStep& step, std::size_t item, int num_kept, TimePoint now);
  // Tells the scheduler.
  void Settle(const EngineStep& step);
  // Tells the streams, and ends those that are done.
  void Publish(const EngineStep& step, TimePoint now);
  void Report(const EngineStep& step, StepStats* stats) const;

  Backend& backend_;
  Decoder& decoder_;
  Scheduler scheduler_;
  EngineMemory memory_;
  std::span<const KvLayer> target_kv_;  // the target's layers of the cache
  EngineInfo info_;
  std::unique_ptr<Drafting> drafting_;
  std::vector<Verifier> verifiers_;  // one per host thread

  LiveRequests live_;
  std::multimap<TimePoint, RequestId> deadlines_;

  std::vector<EngineStep> steps_;    // used in turn
  EngineStep* in_flight_ = nullptr;  // started and not finished, between two calls of Step
  TimePoint last_ran_ = {};          // when the latest results were there

  // Scratch of a step's start, and of its end; kept to avoid allocation.
  std::vector<PenaltyState*> penalties_;                // per item
  std::vector<TokenId> stand_ins_;                      // per item
  std::vector<CommitOutcome> outcomes_;                 // per item
  std::vector<std::vector<GeneratedToken>> generated_;  // per item
  std::vector<AcceptedTokens> accepted_;
  std::vector<Status> item_status_;
  std::vector<StepStats::Emission> emissions_;
  EngineObserver* observer_ = nullptr;
};

}  // namespace reprise
