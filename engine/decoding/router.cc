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
// What a sequence that is not drafting must expect to gain, for it to begin: switching on costs a catch-up.
constexpr double kSwitchOnShare = 0.97;
constexpr double kInitialAcceptance[kNumProposers] = {0.5, 0.5, 0.5};
constexpr int kGoodputInterval = 32;  // steps between estimates for metrics

}  // namespace

Router::Router(StepCosts costs)
    : costs_(std::move(costs)),
      priors_{AcceptancePrior(kInitialAcceptance[0]), AcceptancePrior(kInitialAcceptance[1]),
              AcceptancePrior(kInitialAcceptance[2])} {}

Router::Record& Router::RecordOf(RequestId id) {
  const auto [it, is_new] = records_.try_emplace(id);
  if (is_new) it->second.interval.fill(kFirstInterval);
  return it->second;
}

double Router::Estimate(const Record& record, ProposerKind proposer, int position) const {
  return record.acceptance[IndexOf(proposer)].Estimate(priors_[IndexOf(proposer)], position);
}

bool Router::ChooseProposer(const RoutingRequest& request, Record* record, Candidate* out) const {
  // By what each would do for this sequence alone; how costs are shared is left to Allocate.
  double best = 0;
  for (int p = 0; p < kNumProposers; ++p) {
    const auto proposer = static_cast<ProposerKind>(p);
    if (!request.available[IndexOf(proposer)]) continue;
    double survival = 1, tokens = 1;
    for (int k = 1; k <= std::min(request.max_tokens, kLongestDraft); ++k) {
      survival *= Estimate(*record, proposer, k - 1);
      tokens += survival;
      const double seconds =
          costs_.step.At(1 + k) + (1 + k) * costs_.row_seconds + k * costs_.proposer[IndexOf(proposer)].At(1);
      const double rate = tokens / std::max(seconds, 1e-9);
      if (rate <= best) continue;
      best = rate;
      out->proposer = proposer;
    }
  }
  return best > 0;
}

namespace {

// The cost and the worth of a step as drafted tokens are added to it.
class StepEstimate {
 public:
  StepEstimate(const StepCosts& costs, int num_sequences, int num_tokens, double expected_tokens)
      : costs_(costs), rows_(num_sequences), num_tokens_(num_tokens), expected_tokens_(expected_tokens) {}

  // One more drafted token of that proposer, the `depth`-th of its sequence, expected to give `gain` tokens.
  void Add(ProposerKind proposer, int depth, double gain) {
    // Sequences draft side by side: the first that drafts to a depth pays for a drafting step.
    const CostCurve& curve = costs_.proposer[IndexOf(proposer)];
    int& count = depth_count_[IndexOf(proposer)][static_cast<std::size_t>(depth)];
    drafting_seconds_ += curve.At(count + 1) - (count > 0 ? curve.At(count) : 0.0);
    ++count;
    ++rows_;
    ++num_tokens_;
    expected_tokens_ += gain;
  }
  double TokensPerSecond() const {
    const double seconds = costs_.step.At(num_tokens_) + rows_ * costs_.row_seconds + drafting_seconds_;
    return expected_tokens_ / std::max(seconds, 1e-9);
  }

 private:
  const StepCosts& costs_;
  int rows_;
  int num_tokens_;
  double expected_tokens_;
  double drafting_seconds_ = 0;
  std::array<std::array<int, kMaxDraftTokens>, kNumProposers> depth_count_ = {};
};

struct NextToken {
  double gain = 0;  // probability that it and all before it stand
  std::size_t candidate = 0;
  bool operator<(const NextToken& other) const { return gain < other.gain; }
};

}  // namespace

double Router::Allocate(std::vector<Candidate>* candidates, int num_sequences, int num_tokens, int max_drafts,
                        double expected_tokens) const {
  const auto gain = [&](const Candidate& c) {
    const double own = c.survival * Estimate(*c.record, c.proposer, c.num_tokens);
    return c.record->drafting ? own : own * kSwitchOnShare;
  };
  std::priority_queue<NextToken> queue;
  for (std::size_t i = 0; i < candidates->size(); ++i) {
    const Candidate& c = (*candidates)[i];
    if (c.routing->max_tokens > 0) queue.push({gain(c), i});
  }
  StepEstimate step(costs_, num_sequences, num_tokens, expected_tokens);
  double best = step.TokensPerSecond();
  std::vector<std::size_t> path;  // candidates, in the order in which their tokens were added
  std::size_t best_length = 0;
  while (!queue.empty() && static_cast<int>(path.size()) < max_drafts) {
    const NextToken next = queue.top();
    queue.pop();
    Candidate& c = (*candidates)[next.candidate];
    step.Add(c.proposer, c.num_tokens, next.gain);
    c.survival *= Estimate(*c.record, c.proposer, c.num_tokens);
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
  } else if (!request.available[IndexOf(*request.requested_proposer)]) {
    route = {std::nullopt, 0, request.max_tokens > 0 ? RouteReason::kNothingToDraft : RouteReason::kNoBudget};
  } else if (route.num_tokens <= 0) {
    route = {std::nullopt, 0, RouteReason::kNoBudget};
  }
  return route;
}

void Router::Assign(std::span<const RoutingRequest> requests, int num_tokens, int max_drafts,
                    std::vector<Route>* routes) {
  routes->assign(requests.size(), Route{});
  candidates_.clear();
  int budget = max_drafts;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const RoutingRequest& request = requests[i];
    Route& route = (*routes)[i];
    if (request.requested) {
      route = RouteRequested(request, budget);
      budget -= route.num_tokens;
      num_tokens += route.num_tokens;
      continue;
    }
    Record& record = RecordOf(request.id);
    Candidate candidate{i, &request, &record};
    if (ChooseProposer(request, &record, &candidate)) {
      candidates_.push_back(candidate);
    } else {
      route.reason = request.max_tokens > 0 ? RouteReason::kNothingToDraft : RouteReason::kNoBudget;
    }
  }
  if (candidates_.empty()) return;
  const auto num_sequences = static_cast<int>(requests.size());
  Allocate(&candidates_, num_sequences, num_tokens, budget, num_sequences);
  for (const Candidate& c : candidates_) {
    Route& route = (*routes)[c.request];
    budget -= c.num_tokens;
    if (c.num_tokens > 0) {
      route = {c.proposer, c.num_tokens, RouteReason::kGoodput};
    } else if (max_drafts <= 0) {
      route.reason = RouteReason::kNoBudget;
    }
  }
  Explore(requests, num_tokens, &budget, routes);
  for (const Candidate& c : candidates_) c.record->drafting = (*routes)[c.request].proposer.has_value();
  if (steps_++ % kGoodputInterval == 0) EstimateGoodput(requests, num_tokens, max_drafts);
}

bool Router::WorthExploring(ProposerKind proposer, int num_sequences, int num_tokens) const {
  const double plain = costs_.step.At(num_tokens) + num_sequences * costs_.row_seconds;
  const double drafted = costs_.step.At(num_tokens + num_sequences) + 2 * num_sequences * costs_.row_seconds +
                         costs_.proposer[IndexOf(proposer)].At(num_sequences);
  return (1 + kOptimism) * plain > drafted;
}

void Router::Explore(std::span<const RoutingRequest> requests, int num_tokens, int* budget,
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
      if (!request.available[at]) continue;
      if (record.burst_left[at] == 0) {
        if (++record.steps_off[at] < record.interval[at]) continue;
        if (!WorthExploring(proposer, static_cast<int>(requests.size()), num_tokens)) {
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

void Router::EstimateGoodput(std::span<const RoutingRequest> requests, int num_tokens, int max_drafts) {
  const auto sequences = static_cast<int>(requests.size());
  goodput_[static_cast<std::size_t>(DecodingMethod::kPlain)] =
      sequences / std::max(costs_.step.At(num_tokens) + sequences * costs_.row_seconds, 1e-9);
  for (const DecodingMethod method : {DecodingMethod::kRecycle, DecodingMethod::kSpeculative}) {
    double best = 0;
    for (int p = 0; p < kNumProposers; ++p) {
      const auto proposer = static_cast<ProposerKind>(p);
      if (MethodOf(proposer) != method) continue;
      std::vector<Candidate> candidates;
      for (std::size_t i = 0; i < requests.size(); ++i) {
        if (requests[i].requested || !requests[i].available[IndexOf(proposer)]) continue;
        candidates.push_back({i, &requests[i], &RecordOf(requests[i].id), proposer});
      }
      if (candidates.empty()) continue;
      best = std::max(best, Allocate(&candidates, sequences, num_tokens, max_drafts, sequences));
    }
    if (best > 0) goodput_[static_cast<std::size_t>(method)] = best;
  }
}

void Router::ObserveDraft(RequestId id, ProposerKind proposer, int drafted, int accepted) {
  if (drafted == 0) return;
  priors_[IndexOf(proposer)].Observe(drafted, accepted);
  RecordOf(id).acceptance[IndexOf(proposer)].Observe(drafted, accepted);
}

void Router::ObserveStep(int num_tokens, double pass_seconds, int num_rows, double sample_seconds) {
  costs_.step.Observe(num_tokens, pass_seconds);
  if (num_rows > 0) costs_.row_seconds += 0.05 * (sample_seconds / num_rows - costs_.row_seconds);
}

void Router::ObserveProposer(ProposerKind proposer, int sequences, int steps, double seconds) {
  if (steps > 0) costs_.proposer[IndexOf(proposer)].Observe(sequences, seconds / steps);
}

}  // namespace reprise
