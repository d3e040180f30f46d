// The proposers and the router together: what the step loop asks for drafts.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "engine/decoding/draft_memory.h"
#include "engine/decoding/proposer.h"
#include "engine/decoding/router.h"
#include "engine/drawn_memory.h"
#include "engine/engine.h"
#include "engine/kv_cache.h"
#include "scheduler/scheduler.h"

namespace reprise {

// Tokens before those of the step, over all sequences; until the plan is committed.
int NumContext(const BatchPlan& plan);

class Drafting {
 public:
  // The models have been reserved for steps of the scheduler's size, and `memory` was allocated for them.
  // `kv` has the layers of target, module and draft, in that order. All outlive this. With `profile`,
  // measures what steps cost; a device error then shows in Backend::Synchronize.
  static std::unique_ptr<Drafting> Create(Backend& backend, const EngineModels& models, const KvCache& kv,
                                          const DrawnMemory& drawn, DraftMemory memory,
                                          const Scheduler& scheduler, bool profile);
  // With proposers of the caller's (tests), in the order of ProposerKind.
  Drafting(std::array<std::unique_ptr<Proposer>, kNumProposers> proposers, StepCosts costs,
           int recycle_default);

  // Chooses a route for each item that gets its next token, reserves slots, and fills drafts[i]. All spans
  // have one entry per item; drafts are cleared. While the step before still runs (`ahead`) nobody drafts:
  // the last tokens are not known yet.
  //
  // Returns whether the next step may be planned ahead of this one's end: with what is known now, nobody
  // would draft. Requests that name a method are never kept from drafting.
  bool MakeDrafts(Scheduler& scheduler, BatchPlan* plan, std::span<PenaltyState* const> penalties,
                  std::span<Draft> drafts, bool ahead);
  // The target's pass has been started.
  void AfterPass(const BatchView& batch, const Decoder::Output& output);
  // Waits until the drafts of the latest MakeDrafts are drawn, and says when they were: where the backend
  // draws, on the device and while the host went on. A device error is left to whoever waits for the step.
  TimePoint WaitForDrafts();
  // After verification, unless the next step was planned ahead.
  void Observe(const StepOutcome& outcome, std::span<const Draft> drafts);
  // After every step. `seconds` of the target's pass and of sampling.
  void ObserveCosts(const BatchPlan& plan, const StepSize& size, int num_drafts, double pass_seconds,
                    double sample_seconds);
  void Forget(RequestId id);

  // Of the latest step, per item.
  std::span<const Route> routes() const { return routes_of_items_; }
  const StepCosts& costs() const { return router_.costs(); }
  double Goodput(DecodingMethod method) const { return router_.Goodput(method); }

 private:
  RoutingRequest Describe(const Sequence& sequence) const;
  std::optional<ProposerKind> RequestedProposer(const Request& request) const;
  int DefaultLength(ProposerKind proposer, const Request& request) const;
  bool HoldsUpNextStep(const ScheduledSequence& item) const;
  void Propose(const BatchPlan& plan, std::span<PenaltyState* const> penalties, std::span<Draft> drafts);

  // What one proposer did in a step.
  struct Drafted {
    ProposerKind proposer;
    std::vector<int> passes;  // tokens of each
    TimePoint begin;
  };

  std::array<std::unique_ptr<Proposer>, kNumProposers> proposers_;  // nullptr: not loaded
  Router router_;
  int recycle_default_;  // the chain that the module was trained for

  // Scratch of one step.
  std::vector<std::size_t> decoding_;  // items that get their next token
  std::vector<RoutingRequest> requests_;
  std::vector<Route> routes_;           // of decoding_
  std::vector<Route> routes_of_items_;  // of all
  std::vector<int> wanted_;
  std::vector<DraftRequest> wishes_;
  std::vector<Drafted> drafted_;  // whose end has not been seen yet, in order
};

}  // namespace reprise
