// A scheduler at work under a toy engine and model that make every mistake of the bookkeeping visible: each
// KV slot remembers which token prefix it was computed from, and the next token depends on the whole prefix.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
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
  std::int64_t overtaken = 0;     // steps that ended behind the start of the next
  std::int64_t starts_ahead = 0;  // sequences that began to run in a step planned ahead
  std::int64_t held_back = 0;     // plans that came out empty, though requests were running
  std::int64_t dropped_rows = 0;  // of requests that had ended when the step did
};

// Every violated invariant is reported through Catch's FAIL, with its number and the workload's seed.
class Simulation {
 public:
  // With `plan_ahead` about half of the steps that may be overtaken are.
  Simulation(const SchedulerConfig& config, std::uint32_t seed, int max_draft_tokens, bool plan_ahead);

  void Submit(const Request& request);
  void Cancel(RequestId id);
  void CancelAny();
  // A step, or the end of one and the start of the next.
  void Step();

  bool idle() const { return scheduler_.idle() && in_flight_.empty(); }
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
  // A step between its start and its end.
  struct Launched {
    BatchPlan plan;
    std::vector<AcceptedTokens> accepted;  // per item
    // The blocks it reads and writes, and what they were handed out as.
    std::vector<std::pair<BlockId, std::uint32_t>> blocks;
    bool overtaken = false;
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
  void CheckPlan(const Before& before, const BatchPlan& plan, bool ahead);
  void CheckItem(const ScheduledSequence& item) const;
  void CheckPreemption(const Before& before, const BatchPlan& plan) const;
  void CheckStarts(const Before& before) const;
  void ReserveDrafts(BatchPlan* plan);
  void CommitAhead(Launched* step);
  bool Start(bool ahead);
  void Finish();
  bool MayBeOvertaken(const BatchPlan& plan) const;
  void EndLive(RequestId id);
  AcceptedTokens Run(const ScheduledSequence& item);
  void ReadContext(const ScheduledSequence& item, const Live& live) const;
  void CheckOutcome(const ScheduledSequence& item, const AcceptedTokens& accepted,
                    const CommitOutcome& outcome);
  int Random(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

  SchedulerConfig config_;
  std::uint32_t seed_;
  int max_draft_tokens_;
  bool plan_ahead_;
  std::mt19937 random_;
  Scheduler scheduler_;
  std::vector<KvEntry> kv_;  // [num_blocks * block_size]
  std::map<RequestId, Live> live_;
  std::map<RequestId, Live> past_;  // what has ended
  std::deque<Launched> in_flight_;  // in order, at most two
  SimulationCounts counts_;
};

}  // namespace reprise
