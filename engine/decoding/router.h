// Chooses, for every request and step, who drafts and how much: what maximises the expected tokens per second
// of the whole batch (design: composition of SmartSpec's goodput, Liu et al. 2406.14066, with costs measured
// on this machine). Pure bookkeeping: no clock, no device.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/decoding/acceptance.h"
#include "engine/decoding/context_cost.h"
#include "engine/decoding/cost_curve.h"
#include "engine/decoding/offer.h"
#include "engine/route.h"
#include "scheduler/request.h"

namespace reprise {

// What a pass of the target computes.
struct StepSize {
  int num_tokens = 0;
  int num_context = 0;  // tokens before them, over all sequences
};

// What a step and its parts cost, in seconds.
struct StepCosts {
  CostCurve step;                                 // the target's pass, by tokens, but for
  double context_seconds = 0;                     // attention to one token of context
  std::array<CostCurve, kNumProposers> proposer;  // a proposer's pass, by tokens it reads
  double sample_seconds = 0;                      // drawing a sequence's token
  double verify_seconds = 0;                      // judging one drafted token

  // The target's pass with `drafts` more tokens, and then sampling for that many sequences.
  double Pass(const StepSize& size, int drafts, int num_sequences) const {
    return step.At(size.num_tokens + drafts) + context_seconds * size.num_context +
           num_sequences * sample_seconds + drafts * verify_seconds;
  }
};

// One sequence that gets its next token in this step.
struct RoutingRequest {
  RequestId id = 0;
  // By proposer; nullopt when it is not loaded, not allowed, or has nothing to say.
  std::array<std::optional<DraftOffer>, kNumProposers> offers = {};
  int max_tokens = 0;      // longest draft that makes sense now
  bool requested = false;  // the method is not auto: `requested_proposer` drafts max_tokens
  std::optional<ProposerKind> requested_proposer;  // unset: plain
};

class Router {
 public:
  explicit Router(StepCosts costs);

  // One route per request. The step computes `step` anyhow; at most `max_drafts` tokens more fit.
  void Assign(std::span<const RoutingRequest> requests, const StepSize& step, int max_drafts,
              std::vector<Route>* routes);

  // After verification. Also drafts that were requested teach.
  void ObserveDraft(RequestId id, ProposerKind proposer, int confidence, int drafted, int accepted);
  // The target's pass, all of it for sequences that got their next token, and then sampling for those
  // sequences and their drafted tokens.
  void ObserveStep(const StepSize& step, double pass_seconds, int num_sequences, int num_drafts,
                   double sample_seconds);
  // A proposer's passes of one step, each over so many tokens; of all of them together.
  void ObserveProposer(ProposerKind proposer, std::span<const int> passes, double seconds);
  void Forget(RequestId id) { records_.erase(id); }

  const StepCosts& costs() const { return costs_; }
  // Expected tokens per second of the latest batch if all of it were decoded so; 0 before the first.
  double Goodput(DecodingMethod method) const { return goodput_[static_cast<std::size_t>(method)]; }

 private:
  struct Record {
    std::array<AcceptanceRecord, kNumProposers> acceptance;
    std::array<int, kNumProposers> steps_off = {};   // since it last drafted
    std::array<int, kNumProposers> interval = {};    // steps off before the next burst
    std::array<int, kNumProposers> burst_left = {};  // exploring steps still to come
    bool drafting = false;                           // in the last step
  };
  // A sequence in the search for the best drafts.
  struct Candidate {
    std::size_t request = 0;
    const RoutingRequest* routing = nullptr;
    Record* record = nullptr;
    ProposerKind proposer = ProposerKind::kRecycle;
    DraftOffer offer = {};
    int num_tokens = 0;
    double survival = 1;  // probability that all of them stand
  };

  Record& RecordOf(RequestId id);
  // Probability that the token at `position` of a draft stands, given that those before it do.
  double Estimate(const Record& record, ProposerKind proposer, int confidence, int position) const;
  // The best proposer for a sequence while no other drafts; false when none is available.
  bool ChooseProposer(const RoutingRequest& request, int num_sequences, const StepSize& step,
                      Candidate* out) const;
  // Lengthens drafts greedily; leaves in `candidates` the lengths that gave the most tokens per second.
  double Allocate(std::vector<Candidate>* candidates, int num_sequences, const StepSize& step,
                  int max_drafts) const;
  static Route RouteRequested(const RoutingRequest& request, int budget);
  void Explore(std::span<const RoutingRequest> requests, const StepSize& step, int* budget,
               std::vector<Route>* routes);
  bool WorthExploring(ProposerKind proposer, int num_sequences, const StepSize& step) const;
  void EstimateGoodput(std::span<const RoutingRequest> requests, const StepSize& step, int max_drafts);

  StepCosts costs_;
  ContextCost context_;
  std::array<std::array<AcceptancePrior, kNumConfidences>, kNumProposers> priors_;
  std::unordered_map<RequestId, Record> records_;
  std::array<double, kNumMethods> goodput_ = {};  // by DecodingMethod
  int steps_ = 0;
  int exploration_pause_ = 0;          // steps before another burst may begin
  std::vector<Candidate> candidates_;  // scratch
};

}  // namespace reprise
