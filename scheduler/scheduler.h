// Decides, step by step, which tokens of which sequences are computed, and owns every KV block. Pure
// bookkeeping: no threads, no clock, no device. Invariants are numbered in docs/engine-contract.md.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "scheduler/block_manager.h"
#include "scheduler/request.h"
#include "scheduler/sequence.h"

namespace reprise {

struct SchedulerConfig {
  int num_blocks = 0;
  int block_size = 16;
  int max_num_seqs = 64;             // sequences in one step
  int max_num_batched_tokens = 512;  // tokens in one step
  int max_num_logit_rows = 256;      // rows of logits in one step; at least max_num_seqs
  int max_model_len = 0;             // prompt + generated
  bool enable_prefix_cache = true;
};

// One sequence's share of a step.
struct ScheduledSequence {
  Sequence* sequence = nullptr;
  int num_tokens = 0;  // computed this step, beginning at sequence->num_computed
  // The chunk includes the last token, so the next one can be sampled (and a draft attached).
  bool reaches_end = false;
  // Logit rows of this chunk, its last ones: 1 when it reaches the end; one per token when prompt
  // log-probabilities were asked for and the prompt has not been computed yet. (A prefill that was preempted
  // begins again, rows and all.) A draft has one more per token.
  int num_logit_rows = 0;
  int num_draft_tokens = 0;  // slots reserved behind the chunk by ReserveDrafts
};

struct BatchPlan {
  std::vector<ScheduledSequence> items;
  int num_tokens = 0;  // sum over items, drafts included
  int token_budget_left = 0;
  int num_logit_rows = 0;  // sum over items, drafts included
  int num_preempted = 0;
  // Prefix lookups of requests that start, in tokens (for the prefix-cache metrics). One that comes back
  // after a preemption and finds its own blocks does not count.
  std::int64_t prefix_queries = 0;
  std::int64_t prefix_hits = 0;

  bool empty() const { return items.empty(); }
};

// What the engine got for one item: the tokens that now follow the sequence. Empty for a chunk that does not
// reach the end, and when max_tokens is 0. With drafts, all but the last token had been drafted (and so are
// in the cache already).
struct AcceptedTokens {
  std::vector<TokenId> tokens;
};

// What Commit did with one item.
struct CommitOutcome {
  int num_kept = 0;  // leading accepted tokens that became part of the sequence
  // Not kNone: the sequence has ended; its blocks are released.
  FinishReason finish_reason = FinishReason::kNone;
};

class Scheduler {
 public:
  // Config has been validated: all positive, max_model_len <= num_blocks * block_size.
  explicit Scheduler(const SchedulerConfig& config);

  // Takes the request into the waiting queue. INVALID_ARGUMENT when it can never fit: prompt plus max_tokens
  // over max_model_len, an empty prompt. Choices of a group are admitted in ascending order.
  Status Admit(std::shared_ptr<const Request> request);

  // Running sequences first, then waiting ones in (priority, arrival, admission) order; preempts the last in
  // that order when blocks run out. Never empty while work remains: the first in order always gets its
  // tokens. Every running sequence that has one token to compute gets it in every step; prefills share what
  // is left of the budget, in order, in chunks, but while a long one is computed up to half goes to waiting
  // prompts that fit into it whole. A choice other than 0 waits until choice 0 of its group has computed the
  // prompt (or is gone), so that n choices share one prefill through the prefix cache.
  //
  // Between CommitAhead and Resolve it takes blocks from nobody: where that would be needed, and where all
  // that is left are tokens whose ids are still to come, the plan is empty.
  BatchPlan Plan();

  // Reserves up to wanted[i] slots behind item i from the left-over token budget, logit rows and free blocks;
  // may shorten, never preempts. Sets num_draft_tokens.
  void ReserveDrafts(BatchPlan* plan, std::span<const int> wanted);

  // The longest draft whose tokens could still be kept: within the request's max_tokens and max_model_len.
  // (Admit has seen to it that the first implies the second.)
  static int MaxDraftTokens(const Sequence& sequence) {
    return sequence.request->max_tokens - sequence.num_generated() - 1;
  }

  // Records the step's outcome: advances num_computed, appends accepted tokens up to a stop token (not before
  // min_tokens) or max_tokens, which Admit has kept within max_model_len, frees slots of rejected drafts,
  // caches full blocks of committed tokens, ends what is finished. Items that have been ended since Plan get
  // an empty outcome. Sequence pointers of ended items stay valid until the next call of Plan.
  std::vector<CommitOutcome> Commit(const BatchPlan& plan, std::span<const AcceptedTokens> accepted);

  // Commit in two parts, so that the next step can be planned while this one runs. CommitAhead records what
  // is certain: every item that reaches the end gets one token, whose id is not known yet; stand_ins[i]
  // (below zero, as BatchView::drawn has it) takes its place. At most one Plan follows, then Resolve with the
  // ids, which ends what is finished. Without drafts, and with max_tokens > 0 for items that reach the end.
  void CommitAhead(const BatchPlan& plan, std::span<const TokenId> stand_ins);
  std::vector<CommitOutcome> Resolve(const BatchPlan& plan, std::span<const AcceptedTokens> accepted);

  // Ends a request, waiting or running. Blocks that a plan in flight may still write are released when the
  // last such plan is committed or resolved. False when it is not known.
  bool Finish(RequestId id);

  const Sequence* Find(RequestId id) const;
  int num_waiting() const { return static_cast<int>(waiting_.size()) + num_held_; }
  int num_running() const { return static_cast<int>(running_.size()); }
  bool idle() const { return sequences_.empty(); }
  const BlockPool& block_pool() const { return blocks_.pool(); }
  const SchedulerConfig& config() const { return config_; }

 private:
  struct InOrder {
    bool operator()(const Sequence* a, const Sequence* b) const { return ComesBefore(*a, *b); }
  };

  // scheduler.cc: the queues.
  bool HasSeat() const { return num_running() < config_.max_num_seqs; }
  void Enqueue(Sequence* sequence);
  void ReleaseHeldChoices(RequestId group);
  void End(Sequence* sequence);

  // plan.cc: one step.
  void PlanRunning(BatchPlan* plan);
  void ReserveBlocks(BatchPlan* plan);
  void Preempt(Sequence* sequence);
  void PlanWaiting(BatchPlan* plan);
  bool Start(Sequence* sequence, bool only_whole, int* free_blocks, BatchPlan* plan);
  void ExtendChunks(BatchPlan* plan);
  int ShortPrefillTokens(int limit, int priority) const;
  int ChunkLength(const Sequence& sequence, int num_computed, int max_tokens, int max_rows) const;
  int RowsLeft(const BatchPlan& plan) const { return config_.max_num_logit_rows - plan.num_logit_rows; }
  int UnclaimedBlocks() const;

  // commit.cc: its outcome.
  CommitOutcome CommitItem(const ScheduledSequence& item, const AcceptedTokens& accepted);
  void CommitItemAhead(const ScheduledSequence& item, TokenId stand_in);
  CommitOutcome ResolveItem(const ScheduledSequence& item, const AcceptedTokens& accepted);
  bool LandsAlive(Sequence* sequence);
  void AdvanceOverChunk(const ScheduledSequence& item);

  SchedulerConfig config_;
  BlockManager blocks_;
  std::uint64_t next_order_ = 0;

  // Every sequence that has not ended is in exactly one of running_, waiting_ and held_.
  std::unordered_map<RequestId, std::unique_ptr<Sequence>> sequences_;
  std::vector<Sequence*> running_;                              // in order
  std::set<Sequence*, InOrder> waiting_;                        // may start
  std::unordered_map<RequestId, std::vector<Sequence*>> held_;  // by group, until choice 0 has its prompt
  int num_held_ = 0;
  std::vector<std::unique_ptr<Sequence>> ended_;  // since the last Plan, or still in flight
  bool ahead_ = false;                            // between CommitAhead and Resolve
};

}  // namespace reprise
