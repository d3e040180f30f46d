// Decides, step by step, which tokens of which sequences are computed, and owns every KV block. Pure
// bookkeeping: no threads, no clock, no device. Invariants are numbered in docs/engine-contract.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "scheduler/block_pool.h"
#include "scheduler/prefix_cache.h"
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
  bool reaches_end =
      false;  // the chunk includes the last token, so the next one can be sampled (and a draft attached)
  // Logit rows of this chunk: 1 when it reaches the end; one per token when prompt log-probabilities were
  // asked for.
  int num_logit_rows = 0;
  int num_draft_tokens = 0;  // slots reserved behind the chunk by ReserveDrafts
};

struct BatchPlan {
  std::vector<ScheduledSequence> items;
  int num_tokens = 0;  // sum over items, drafts included
  int token_budget_left = 0;
  int num_preempted = 0;
  // Lookups made while planning, in tokens (for the prefix-cache metrics).
  std::int64_t prefix_queries = 0;
  std::int64_t prefix_hits = 0;

  bool empty() const { return items.empty(); }
};

// What the engine got for one item: the tokens that now follow the sequence. Empty for a chunk that does not
// reach the end. With drafts, all but the last token had been drafted (and so are in the cache already).
struct AcceptedTokens {
  std::vector<TokenId> tokens;
};

// What Commit did with one item.
struct CommitOutcome {
  int num_kept = 0;  // leading accepted tokens that became part of the sequence
  FinishReason finish_reason =
      FinishReason::kNone;  // not kNone: the sequence has ended; its blocks are released
};

class Scheduler {
 public:
  // Config has been validated: all positive, max_model_len <= num_blocks * block_size.
  explicit Scheduler(const SchedulerConfig& config);
  ~Scheduler();

  // Takes the request into the waiting queue. INVALID_ARGUMENT when it can never fit: prompt plus max_tokens
  // over max_model_len, an empty prompt.
  Status Admit(std::shared_ptr<const Request> request);

  // Running sequences first, then waiting ones in (priority, arrival, admission) order; preempts the last in
  // that order when blocks run out. Never empty while work remains: the first in order always gets its
  // tokens. A choice other than 0 waits until choice 0 of its group has computed the prompt (or is gone), so
  // that n choices share one prefill through the prefix cache.
  BatchPlan Plan();

  // Reserves up to wanted[i] slots behind item i from the left-over token budget, logit rows and free blocks;
  // may shorten, never preempts. Sets num_draft_tokens.
  void ReserveDrafts(BatchPlan* plan, std::span<const int> wanted);

  // Records the step's outcome: advances num_computed, appends accepted tokens up to a stop token, max_tokens
  // or max_model_len, frees slots of rejected drafts, caches full blocks of committed tokens, ends what is
  // finished. Sequence pointers of ended items stay valid until the next call of Plan.
  std::vector<CommitOutcome> Commit(const BatchPlan& plan, std::span<const AcceptedTokens> accepted);

  // Ends a request, waiting or running, outside a step (between Commit and Plan). False when it is not known.
  bool Finish(RequestId id);

  const Sequence* Find(RequestId id) const;
  int num_waiting() const;
  int num_running() const;
  bool idle() const { return num_waiting() == 0 && num_running() == 0; }
  const BlockPool& block_pool() const;
  const SchedulerConfig& config() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace reprise
