// Random workloads on random schedulers: the invariants of docs/engine-contract.md hold in every step, and
// every request gets the tokens it would get alone.
#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>
#include <random>

#include "scheduler_simulation.h"

namespace reprise {
namespace {

struct Workload {
  SchedulerConfig config;
  int max_draft_tokens = 0;
  bool plan_ahead = false;
  std::deque<Request> requests;
  double submit_probability = 1.0;
  double cancel_probability = 0.0;
};

class WorkloadMaker {
 public:
  explicit WorkloadMaker(std::uint32_t seed) : random_(seed) {}

  Workload Make() {
    Workload workload;
    workload.config = MakeConfig();
    workload.max_draft_tokens = Chance(0.5) ? Random(1, 9) : 0;
    workload.plan_ahead = Chance(0.5);
    workload.submit_probability = Chance(0.5) ? 1.0 : 0.3;
    workload.cancel_probability = Chance(0.5) ? 0.0 : 0.1;
    for (auto& document : documents_) {
      for (int i = 0; i < workload.config.max_model_len; ++i) document.push_back(Random(0, 39));
    }
    const int count = Random(1, 14);
    for (int i = 0; i < count; ++i) AddCall(&workload);
    return workload;
  }

 private:
  int Random(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  bool Chance(double p) { return std::bernoulli_distribution(p)(random_); }

  SchedulerConfig MakeConfig() {
    SchedulerConfig config;
    config.block_size = 1 << Random(0, 3);
    config.max_model_len = Random(4, 70);
    const int least = (config.max_model_len + config.block_size - 1) / config.block_size;
    config.num_blocks = Random(least, Chance(0.5) ? least + 4 : 4 * least);
    config.max_num_seqs = Random(1, 8);
    config.max_num_batched_tokens = Random(1, Chance(0.5) ? 12 : 50);
    config.max_num_logit_rows = config.max_num_seqs + Random(0, 12);
    config.enable_prefix_cache = Chance(0.8);
    return config;
  }

  // One call of one or several choices.
  void AddCall(Workload* workload) {
    const int max_len = workload->config.max_model_len;
    Request request;
    const auto& document = documents_[static_cast<std::size_t>(Random(0, 1))];
    request.prompt.assign(document.begin(), document.begin() + Random(0, max_len - 1));
    const int tail = Random(request.prompt.empty() ? 1 : 0, std::max(1, max_len / 8));
    for (int i = 0; i < tail; ++i) request.prompt.push_back(Random(0, 39));
    // A few do not fit: they are refused.
    const int room = max_len - static_cast<int>(request.prompt.size());
    request.max_tokens = Chance(0.05) ? 0 : Random(1, std::max(1, room));
    request.min_tokens = Chance(0.3) ? Random(0, request.max_tokens) : 0;
    request.prompt_logprobs = Chance(0.15) ? 0 : -1;
    request.stop_token_ids = {3, 17};
    request.priority = Chance(0.5) ? 0 : Random(-1, 1);
    request.arrival = TimePoint(Clock::duration(next_id_ / 3));
    const int choices = Chance(0.2) ? Random(2, 4) : 1;
    request.group = next_id_;
    for (int choice = 0; choice < choices; ++choice) {
      request.id = next_id_++;
      request.choice = static_cast<std::uint32_t>(choice);
      workload->requests.push_back(request);
    }
  }

  std::mt19937 random_;
  RequestId next_id_ = 1;
  std::vector<TokenId> documents_[2];  // prompts begin with a part of one
};

void Add(const SimulationCounts& from, SimulationCounts* to) {
  to->steps += from.steps;
  to->preemptions += from.preemptions;
  to->prefix_hits += from.prefix_hits;
  to->shared_blocks += from.shared_blocks;
  to->accepted_drafts += from.accepted_drafts;
  to->rejected_drafts += from.rejected_drafts;
  to->held_choices += from.held_choices;
  to->partial_chunks += from.partial_chunks;
  to->prompt_rows += from.prompt_rows;
  to->finished += from.finished;
  to->cancelled += from.cancelled;
  to->overtaken += from.overtaken;
  to->starts_ahead += from.starts_ahead;
  to->held_back += from.held_back;
  to->dropped_rows += from.dropped_rows;
}

SimulationCounts RunWorkload(std::uint32_t seed) {
  Workload workload = WorkloadMaker(seed).Make();
  Simulation simulation(workload.config, seed, workload.max_draft_tokens, workload.plan_ahead);
  std::mt19937 random(seed + 1);
  while (!workload.requests.empty() || !simulation.idle()) {
    while (!workload.requests.empty() && std::bernoulli_distribution(workload.submit_probability)(random)) {
      simulation.Submit(workload.requests.front());
      workload.requests.pop_front();
    }
    if (std::bernoulli_distribution(workload.cancel_probability)(random)) simulation.CancelAny();
    simulation.Step();
    if (simulation.counts().steps == 20000) FAIL("S24: it never ends (seed " << seed << ")");
  }
  simulation.CheckIdle();
  return simulation.counts();
}

}  // namespace

TEST_CASE("Random workloads keep every invariant in every step",
          "[property][S1][S2][S3][S4][S8][S9][S10][S11][S12][S13][S14][S17][S18][S19][S20][S21][S23][S24]"
          "[S25][S26]") {
  SimulationCounts total;
  for (std::uint32_t seed = 0; seed < 10000; ++seed) Add(RunWorkload(seed), &total);
  // The workloads must have met what the invariants are about.
  CHECK(total.steps > 100000);
  CHECK(total.preemptions > 5000);
  CHECK(total.prefix_hits > 50000);
  CHECK(total.shared_blocks > 50000);
  CHECK(total.accepted_drafts > 20000);
  CHECK(total.rejected_drafts > 20000);
  CHECK(total.held_choices > 2000);
  CHECK(total.partial_chunks > 20000);
  CHECK(total.prompt_rows > 5000);
  CHECK(total.finished > 30000);
  CHECK(total.cancelled > 1000);
  CHECK(total.overtaken > 20000);
  CHECK(total.starts_ahead > 3000);
  CHECK(total.held_back > 300);
  CHECK(total.dropped_rows > 3000);
}

}  // namespace reprise
