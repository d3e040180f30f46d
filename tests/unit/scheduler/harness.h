// Drives a scheduler in tests: requests from a few figures, steps with made-up tokens.
#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "scheduler/scheduler.h"

namespace reprise {

// `count` tokens beginning with `first`: two prompts share a prefix iff they begin alike.
inline std::vector<TokenId> Tokens(int count, TokenId first = 100) {
  std::vector<TokenId> tokens(static_cast<std::size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

inline Request MakeRequest(RequestId id, std::vector<TokenId> prompt, int max_tokens) {
  Request request;
  request.id = id;
  request.group = id;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  return request;
}

inline SchedulerConfig MakeConfig(int num_blocks, int block_size, int max_num_batched_tokens) {
  SchedulerConfig config;
  config.num_blocks = num_blocks;
  config.block_size = block_size;
  config.max_num_batched_tokens = max_num_batched_tokens;
  config.max_num_seqs = 8;
  config.max_num_logit_rows = 64;
  config.max_model_len = num_blocks * block_size;
  return config;
}

class Harness {
 public:
  explicit Harness(const SchedulerConfig& config) : scheduler(config) {}

  Status Admit(const Request& request) { return scheduler.Admit(std::make_shared<const Request>(request)); }

  // Commits with the given tokens for every item that reaches the end.
  std::vector<CommitOutcome> Commit(const BatchPlan& plan, const std::vector<TokenId>& tokens = {7}) {
    std::vector<AcceptedTokens> accepted;
    for (const ScheduledSequence& item : plan.items) {
      const bool samples = item.reaches_end && item.sequence->request->max_tokens > 0;
      accepted.push_back({samples ? tokens : std::vector<TokenId>()});
    }
    return scheduler.Commit(plan, accepted);
  }

  BatchPlan Step() {
    BatchPlan plan = scheduler.Plan();
    Commit(plan);
    return plan;
  }

  void RunUntilIdle() {
    while (!scheduler.idle()) Step();
  }

  bool running(RequestId id) const {
    const Sequence* sequence = scheduler.Find(id);
    return sequence != nullptr && sequence->running;
  }

  Scheduler scheduler;
};

// (id, tokens) of each item in the plan, to compare with.
inline std::vector<std::pair<RequestId, int>> Shares(const BatchPlan& plan) {
  std::vector<std::pair<RequestId, int>> shares;
  for (const ScheduledSequence& item : plan.items) {
    shares.emplace_back(item.sequence->request->id, item.num_tokens);
  }
  return shares;
}

using ShareList = std::vector<std::pair<RequestId, int>>;

}  // namespace reprise
