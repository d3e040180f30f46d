// The step loop without threads: plan, draft, run, verify, commit, publish. Owned by the engine thread; tests
// drive it directly.
#pragma once

#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/batch_builder.h"
#include "engine/decoding/proposer.h"
#include "engine/engine.h"
#include "engine/kv_cache.h"
#include "engine/logits_processor.h"
#include "engine/sampler.h"
#include "engine/token_stream.h"
#include "models/model.h"
#include "scheduler/scheduler.h"

namespace reprise {

class EngineCore {
 public:
  // As Engine::Create.
  static Result<std::unique_ptr<EngineCore>> Create(Backend& backend, Decoder& decoder,
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
  // Whom to tell of requests that end before the first step.
  void set_observer(EngineObserver* observer) { observer_ = observer; }

  const Scheduler& scheduler() const { return scheduler_; }
  const EngineInfo& info() const { return info_; }
  const KvCache& kv_cache() const { return kv_; }
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

  EngineCore(Backend& backend, Decoder& decoder, const SchedulerConfig& config, KvCache kv,
             const EngineInfo& info);

  void ProposeDrafts(BatchPlan* plan);
  void VerifyAll(const BatchPlan& plan, ConstMatrixView logits);
  void CollectPromptLogprobs(const ScheduledSequence& item, ConstMatrixView logits, int first_row,
                             Live& live);
  void CommitAndPublish(const BatchPlan& plan, TimePoint now);
  void End(std::unordered_map<RequestId, Live>::iterator it, FinishReason reason, const Status& status,
           TimePoint now);

  Backend& backend_;
  Decoder& decoder_;
  Scheduler scheduler_;
  KvCache kv_;
  EngineInfo info_;
  BatchBuilder builder_;
  std::unique_ptr<Proposer> proposer_;
  std::vector<Sampler> samplers_;  // one per host thread

  std::unordered_map<RequestId, Live> live_;
  std::multimap<TimePoint, RequestId> deadlines_;

  // Scratch of one step, kept to avoid allocation.
  std::vector<int> wanted_drafts_;
  std::vector<Draft> drafts_;
  std::vector<Live*> step_live_;                        // per item
  std::vector<std::vector<GeneratedToken>> generated_;  // per item
  std::vector<AcceptedTokens> accepted_;
  std::vector<Status> item_status_;
  std::vector<StepStats::Emission> emissions_;
  EngineObserver* observer_ = nullptr;
};

}  // namespace reprise
