#include "engine/decoding/router.h"

#include <algorithm>
#include <queue>

namespace reprise {
namespace {

constexpr int kLongestDraft = 8;    // that the router chooses by itself
constexpr int kBurst = 4;           // exploring steps in a row
constexpr int kFirstInterval = 16;  // steps before the first burst; doubles
constexpr int kLastInterval = 256;
constexpr std::size_t kFewStreams = 4;
constexpr int kExploringDraft = 2;  // tokens
constexpr double kOptimism = 0.9;   // acceptance that exploration hopes for
// Of what drafts are expected to gain: what looks best among many estimates is likely an overestimate.
constexpr double kCaution = 0.85;
// What a sequence that is not drafting must expect to gain, for it to begin: switching on costs a catch-up.
constexpr double kSwitchOnShare = 0.97;
// A proposer that drafts in every step reads a token or two a step. What it has missed while it was off is an
// investment, spread over so many steps.
constexpr int kUsualRead = 2;
constexpr int kRepaidWithin = 16;
constexpr double kSampleRate = 0.05;  // of what sampling costs, a step
constexpr int kGoodputInterval = 32;  // steps between estimates for metrics

// Tokens that a sequence's first drafted token counts for in its proposer's pass.
int CountedRead(int to_read) {
  return std::clamp(to_read, 1, kUsualRead) + std::max(to_read - kUsualRead, 0) / kRepaidWithin;
}

}  // namespace

Router::Router(StepCosts costs) : costs_(std::move(costs)), context_(costs_.context_seconds) {}

Router::Record& Router::RecordOf(RequestId id) {
  const auto [it, is_new] = records_.try_emplace(id);
  if (is_new) it->second.interval.fill(kFirstInterval);
  return it->second;
}

double Router::Estimate(const Record& record, ProposerKind proposer, int confidence, int position) const {
  const std::size_t p = IndexOf(proposer);
  return record.acceptance[p].Estimate(priors_[p][static_cast<std::size_t>(confidence)], confidence,
                                       position);
}

bool Router::ChooseProposer(const RoutingRequest& request, int num_sequences, const StepSize& step,
                            Candidate* out) const {
  double best = 0;
  for (int p = 0; p < kNumProposers; ++p) {
    const auto proposer = static_cast<ProposerKind>(p);
    const std::optional<DraftOffer>& offer = request.offers[IndexOf(proposer)];
    if (!offer) continue;
    const CostCurve& curve = costs_.proposer[IndexOf(proposer)];
    double survival = 1, tokens = num_sequences;
    for (int k = 1; k <= std::min(request.max_tokens, kLongestDraft); ++k) {
      survival *= Estimate(*out->record, proposer, offer->confidence, k - 1);
      tokens += survival;
      const double seconds =
          costs_.Pass(step, k, num_sequences) + curve.At(CountedRead(offer->to_read)) + (k - 1) * curve.At(1);
      const double rate = tokens / std::max(seconds, 1e-9);
      if (rate <= best) continue;
      best = rate;
      out->proposer = proposer;
      out->offer = *offer;
    }
  }
  return best > 0;
}

namespace {

// The cost and the worth of a step as drafted tokens are added to it.
class StepEstimate {
 public:
  StepEstimate(const StepCosts& costs, int num_sequences, const StepSize& size)
      : costs_(costs), num_sequences_(num_sequences), size_(size), expected_tokens_(num_sequences) {}

  // One more drafted token of that proposer, the `depth`-th of its sequence, expected to give `gain` tokens.
  // The proposer has `to_read` tokens of the sequence to read before the first one.
  void Add(ProposerKind proposer, int depth, int to_read, double gain) {
    // Sequences draft side by side: a pass of the proposer for each depth.
    const CostCurve& curve = costs_.proposer[IndexOf(proposer)];
    int& size = pass_size_[IndexOf(proposer)][static_cast<std::size_t>(depth)];
    const int before = size;
    size += depth == 0 ? CountedRead(to_read) : 1;
    drafting_seconds_ += curve.At(size) - (before > 0 ? curve.At(before) : 0.0);
    ++num_drafts_;
    expected_tokens_ += gain;
  }
  double TokensPerSecond() const {
    const double seconds = costs_.Pass(size_, num_drafts_, num_sequences_) + drafting_seconds_;
    return expected_tokens_ / std::max(seconds, 1e-9);
  }

 private:
  const StepCosts& costs_;
  int num_sequences_;
  StepSize size_;
  int num_drafts_ = 0;
  double expected_tokens_;
  double drafting_seconds_ = 0;
  std::array<std::array<int, kMaxDraftTokens>, kNumProposers> pass_size_ = {};  // tokens, by depth
};

struct NextToken {
  double gain = 0;  // probability that it and all before it stand
  std::size_t candidate = 0;
  bool operator<(const NextToken& other) const { return gain < other.gain; }
};

}  // namespace

double Router::Allocate(std::vector<Candidate>* candidates, int num_sequences, const StepSize& size,
                        int max_drafts) const {
  const auto gain = [&](const Candidate& c) {
    const double own = c.survival * Estimate(*c.record, c.proposer, c.offer.confidence, c.num_tokens);
    return kCaution * (c.record->drafting ? own : own * kSwitchOnShare);
  };
  std::priority_queue<NextToken> queue;
  for (std::size_t i = 0; i < candidates->size(); ++i) {
    const Candidate& c = (*candidates)[i];
    if (c.routing->max_tokens > 0) queue.push({gain(c), i});
  }
  StepEstimate step(costs_, num_sequences, size);
  double best = step.TokensPerSecond();
  std::vector<std::size_t> path;  // candidates, in the order in which their tokens were added
  std::size_t best_length = 0;
  while (!queue.empty() && static_cast<int>(path.size()) < max_drafts) {
    const NextToken next = queue.top();
    queue.pop();
    Candidate& c = (*candidates)[next.candidate];
    step.Add(c.proposer, c.num_tokens, c.offer.to_read, next.gain);
    c.survival *= Estimate(*c.record, c.proposer, c.offer.confidence, c.num_tokens);
    ++c.num_tokens;
    path.push_back(next.candidate);
    const double rate = step.TokensPerSecond();
    if (rate > best) {
      best = rate;
      best_length = path.size();
    }
    // Costs come in stairs: a loss may still lead to a gain, a large one hardly.
    if (rate < 0.7 * best) break;
    if (c.num_tokens < std::min(c.routing->max_tokens, kLongestDraft)) queue.push({gain(c), next.candidate});
  }
  for (std::size_t i = best_length; i < path.size(); ++i) --(*candidates)[path[i]].num_tokens;
  return best;
}

Route Router::RouteRequested(const RoutingRequest& request, int budget) {
  Route route{request.requested_proposer, std::min(request.max_tokens, budget), RouteReason::kRequested};
  if (!request.requested_proposer) {
    route.num_tokens = 0;
  } else if (!request.offers[IndexOf(*request.requested_proposer)]) {
    route = {std::nullopt, 0, request.max_tokens > 0 ? RouteReason::kNothingToDraft : RouteReason::kNoBudget};
  } else if (route.num_tokens <= 0) {
    route = {std::nullopt, 0, RouteReason::kNoBudget};
  }
  return route;
}

void Router::Assign(std::span<const RoutingRequest> requests, const StepSize& planned, int max_drafts,
                    std::vector<Route>* routes) {
  StepSize step = planned;
  const auto num_sequences = static_cast<int>(requests.size());
  routes->assign(requests.size(), Route{});
  candidates_.clear();
  int budget = max_drafts;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const RoutingRequest& request = requests[i];
    Route& route = (*routes)[i];
    if (request.requested) {
      route = RouteRequested(request, budget);
      budget -= route.num_tokens;
      step.num_tokens += route.num_tokens;
      continue;
    }
    Record& record = RecordOf(request.id);
    Candidate candidate{i, &request, &record};
    if (ChooseProposer(request, num_sequences, step, &candidate)) {
      candidates_.push_back(candidate);
    } else {
      route.reason = request.max_tokens > 0 ? RouteReason::kNothingToDraft : RouteReason::kNoBudget;
    }
  }
  if (candidates_.empty()) return;
  Allocate(&candidates_, num_sequences, step, budget);
  for (const Candidate& c : candidates_) {
    Route& route = (*routes)[c.request];
    budget -= c.num_tokens;
    if (c.num_tokens > 0) {
      route = {c.proposer, c.num_tokens, RouteReason::kGoodput};
    } else if (max_drafts <= 0) {
      route.reason = RouteReason::kNoBudget;
    }
  }
  Explore(requests, step, &budget, routes);
  for (const Candidate& c : candidates_) c.record->drafting = (*routes)[c.request].proposer.has_value();
  if (steps_++ % kGoodputInterval == 0) EstimateGoodput(requests, step, max_drafts);
}

bool Router::WorthExploring(ProposerKind proposer, int num_sequences, const StepSize& step) const {
  const double plain = costs_.Pass(step, 0, num_sequences);
  const double drafted =
      costs_.Pass(step, num_sequences, num_sequences) + costs_.proposer[IndexOf(proposer)].At(num_sequences);
  return (1 + kOptimism) * plain > drafted;
}

void Router::Explore(std::span<const RoutingRequest> requests, const StepSize& step, int* budget,
                     std::vector<Route>* routes) {
  int explorers = 1;
  if (exploration_pause_ > 0) --exploration_pause_;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const RoutingRequest& request = requests[i];
    if (request.requested) continue;
    Route& route = (*routes)[i];
    Record& record = RecordOf(request.id);
    for (int p = 0; p < kNumProposers; ++p) {
      const auto proposer = static_cast<ProposerKind>(p);
      const std::size_t at = IndexOf(proposer);
      if (route.proposer == proposer) {
        if (route.reason == RouteReason::kGoodput) {
          record.steps_off[at] = record.burst_left[at] = 0;
          record.interval[at] = kFirstInterval;
        }
        continue;
      }
      if (!request.offers[at]) continue;
      if (record.burst_left[at] == 0) {
        if (++record.steps_off[at] < record.interval[at]) continue;
        if (!WorthExploring(proposer, static_cast<int>(requests.size()), step)) {
          // Costs may be wrong too, measured on a busy machine: few streams look, now and then, all the same.
          const bool patient = record.interval[at] == kLastInterval;
          record.interval[at] = std::min(2 * record.interval[at], kLastInterval);
          if (!patient || requests.size() > kFewStreams) continue;
          record.steps_off[at] = 0;
        }
        if (exploration_pause_ > 0) continue;
        record.burst_left[at] = kBurst;
        // What one learns the others know through the prior: many streams explore no more than one does.
        exploration_pause_ = kBurst + kFirstInterval * (static_cast<int>(requests.size()) - 1);
      }
      if (explorers == 0 || route.reason == RouteReason::kExploration) continue;
      const int length = std::min({kExploringDraft, request.max_tokens, *budget + route.num_tokens});
      if (length <= 0) continue;
      *budget += route.num_tokens - length;
      route = {proposer, length, RouteReason::kExploration};
      --explorers;
      if (--record.burst_left[at] == 0) {
        record.steps_off[at] = 0;
        record.interval[at] = std::min(2 * record.interval[at], kLastInterval);
      }
    }
  }
}

void Router::EstimateGoodput(std::span<const RoutingRequest> requests, const StepSize& step, int max_drafts) {
  const auto sequences = static_cast<int>(requests.size());
  goodput_[static_cast<std::size_t>(DecodingMethod::kPlain)] =
      sequences / std::max(costs_.Pass(step, 0, sequences), 1e-9);
  for (const DecodingMethod method : {DecodingMethod::kRecycle, DecodingMethod::kSpeculative}) {
    double best = 0;
    for (int p = 0; p < kNumProposers; ++p) {
      const auto proposer = static_cast<ProposerKind>(p);
      if (MethodOf(proposer) != method) continue;
      std::vector<Candidate> candidates;
      for (std::size_t i = 0; i < requests.size(); ++i) {
        const std::optional<DraftOffer>& offer = requests[i].offers[IndexOf(proposer)];
        if (requests[i].requested || !offer) continue;
        candidates.push_back({i, &requests[i], &RecordOf(requests[i].id), proposer, *offer});
      }
      if (candidates.empty()) continue;
      best = std::max(best, Allocate(&candidates, sequences, step, max_drafts));
    }
    if (best > 0) goodput_[static_cast<std::size_t>(method)] = best;
  }
}

void Router::ObserveDraft(RequestId id, ProposerKind proposer, int confidence, int drafted, int accepted) {
  if (drafted == 0) return;
  const std::size_t p = IndexOf(proposer);
  AcceptancePrior& prior = priors_[p][static_cast<std::size_t>(confidence)];
  RecordOf(id).acceptance[p].Observe(prior, confidence, drafted, accepted);
  prior.Observe(drafted, accepted);
}

void Router::ObserveStep(const StepSize& step, double pass_seconds, int num_sequences, int num_drafts,
                         double sample_seconds) {
  context_.Observe(pass_seconds, costs_.step.At(step.num_tokens), step.num_context);
  costs_.context_seconds = context_.seconds();
  costs_.step.Observe(step.num_tokens, pass_seconds - costs_.context_seconds * step.num_context);
  if (costs_.sample_seconds == 0) costs_.sample_seconds = sample_seconds / (num_sequences + num_drafts);
  double& learnt = num_drafts > 0 ? costs_.verify_seconds : costs_.sample_seconds;
  const double own = num_drafts > 0 ? (sample_seconds - num_sequences * costs_.sample_seconds) / num_drafts
                                    : sample_seconds / num_sequences;
  learnt += kSampleRate * (std::max(own, 0.0) - learnt);
}

void Router::ObserveProposer(ProposerKind proposer, std::span<const int> passes, double seconds) {
  CostCurve& curve = costs_.proposer[IndexOf(proposer)];
  double expected = 0;
  for (const int size : passes) expected += curve.At(size);
  if (expected <= 0) return;
  for (const int size : passes) curve.Observe(size, curve.At(size) * seconds / expected);
}

}  // namespace reprise
