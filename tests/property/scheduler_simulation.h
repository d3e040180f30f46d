// A scheduler at work under a toy engine and model that make every mistake of the bookkeeping visible: each
// KV slot remembers which token prefix it was computed from, and the next token depends on the whole prefix.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "scheduler/scheduler.h"

namespace reprise {

// What happened, so that a test can tell that it has tested something.
struct SimulationCounts {
  std::int64_t steps = 0;
  std::int64_t preemptions = 0;
  std::int64_t prefix_hits = 0;
  std::int64_t shared_blocks = 0;
  std::int64_t accepted_drafts = 0;
  std::int64_t rejected_drafts = 0;
  std::int64_t held_choices = 0;
  std::int64_t partial_chunks = 0;
  std::int64_t prompt_rows = 0;
  std::int64_t finished = 0;
  std::int64_t cancelled = 0;
};

// Every violated invariant is reported through Catch's FAIL, with its number and the workload's seed.
class Simulation {
 public:
  Simulation(const SchedulerConfig& config, std::uint32_t seed, int max_draft_tokens);

  void Submit(const Request& request);
  void Cancel(RequestId id);
  void CancelAny();
  void Step();

  bool idle() const { return scheduler_.idle(); }
  void CheckIdle() const;
  const SimulationCounts& counts() const { return counts_; }

 private:
  struct KvEntry {
    int position = -1;
    std::uint64_t prefix = 0;
  };
  // What is known of a live request beside the scheduler's own record.
  struct Live {
    Request request;
    std::vector<TokenId> expected;  // prompt and every token it will generate
    std::vector<std::uint64_t>
        prefixes;          // of `expected`: hash of the tokens up to and including each position
    std::set<int> scored;  // positions of the prompt that had a logit row
  };
  struct Before {
    std::vector<const Sequence*> running;  // in order
    std::vector<const Sequence*> waiting;  // in order, without held choices
    std::set<const Sequence*> decodes;
  };

  void Expect(bool condition, const std::string& invariant) const;
  bool IsHeld(const Sequence& sequence) const;
  Before Snapshot() const;
  void CheckBlocks();
  void CheckSharing(BlockId block, const std::vector<std::pair<const Sequence*, int>>& holders);
  void CheckPlan(const Before& before, const BatchPlan& plan);
  void CheckItem(const ScheduledSequence& item) const;
  void CheckPreemption(const Before& before, const BatchPlan& plan) const;
  void CheckStarts(const Before& before) const;
  void ReserveDrafts(BatchPlan* plan);
  AcceptedTokens Run(const ScheduledSequence& item);
  void ReadContext(const ScheduledSequence& item, const Live& live) const;
  void CheckOutcome(const ScheduledSequence& item, const AcceptedTokens& accepted,
                    const CommitOutcome& outcome);
  int Random(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

  SchedulerConfig config_;
  std::uint32_t seed_;
  int max_draft_tokens_;
  std::mt19937 random_;
  Scheduler scheduler_;
  std::vector<KvEntry> kv_;  // [num_blocks * block_size]
  std::map<RequestId, Live> live_;
  SimulationCounts counts_;
};

}  // namespace reprise
