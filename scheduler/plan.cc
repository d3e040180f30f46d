// Scheduler::Plan and ReserveDrafts: who computes how many tokens in the next step.
#include <algorithm>
#include <optional>

#include "base/check.h"
#include "scheduler/scheduler.h"

namespace reprise {
namespace {

// A sequence with a single token to compute: nearly always the one that was sampled in the last step.
bool IsDecode(const Sequence& sequence) {
  return sequence.num_pending() == 1 && !sequence.complete();
}

bool NeedsPromptRows(const Sequence& sequence) {
  return sequence.request->prompt_logprobs >= 0 && sequence.num_generated() == 0;
}

// Gives an item `num_tokens` more tokens.
void Charge(ScheduledSequence* item, int num_tokens, BatchPlan* plan) {
  const int rows_before = item->num_logit_rows;
  item->num_tokens += num_tokens;
  item->reaches_end = item->num_tokens == item->sequence->num_pending();
  item->num_logit_rows = NeedsPromptRows(*item->sequence) ? item->num_tokens : item->reaches_end;
  plan->num_tokens += num_tokens;
  plan->token_budget_left -= num_tokens;
  plan->num_logit_rows += item->num_logit_rows - rows_before;
}

void AddItem(Sequence* sequence, int num_tokens, BatchPlan* plan) {
  plan->items.push_back({.sequence = sequence});
  Charge(&plan->items.back(), num_tokens, plan);
}

void DropLastItem(BatchPlan* plan) {
  ScheduledSequence& item = plan->items.back();
  plan->num_tokens -= item.num_tokens;
  plan->token_budget_left += item.num_tokens;
  plan->num_logit_rows -= item.num_logit_rows;
  plan->items.pop_back();
}

// An unfinished prefill that takes all the tokens it can get. (With prompt log-probabilities it runs out of
// rows first, and tokens are left for others.)
bool WantsMoreTokens(const ScheduledSequence& item) {
  return !item.reaches_end && !NeedsPromptRows(*item.sequence);
}

}  // namespace

BatchPlan Scheduler::Plan() {
  std::erase_if(ended_, [](const auto& sequence) { return sequence->num_in_flight == 0; });
  BatchPlan plan;
  plan.token_budget_left = config_.max_num_batched_tokens;
  if (ahead_ && UnclaimedBlocks() < 0) return plan;
  PlanRunning(&plan);
  ReserveBlocks(&plan);
  // After a preemption there is no room for more: what started now might be the victim itself.
  if (plan.num_preempted == 0) {
    PlanWaiting(&plan);
    ExtendChunks(&plan);
  }
  REPRISE_CHECK(!plan.empty() || ahead_ || idle());
  for (const ScheduledSequence& item : plan.items) ++item.sequence->num_in_flight;
  return plan;
}

// Token counts only; blocks follow in ReserveBlocks.
void Scheduler::PlanRunning(BatchPlan* plan) {
  int decodes_left = static_cast<int>(
      std::ranges::count_if(running_, [](const Sequence* sequence) { return IsDecode(*sequence); }));
  std::optional<int> kept_for_short;  // known at the first prefill
  for (Sequence* sequence : running_) {
    if (sequence->complete()) continue;
    if (IsDecode(*sequence)) {
      AddItem(sequence, 1, plan);
      --decodes_left;
      continue;
    }
    const int tokens_left = plan->token_budget_left - decodes_left;
    if (!kept_for_short) {
      kept_for_short = HasSeat() ? ShortPrefillTokens(tokens_left / 2, sequence->request->priority) : 0;
    }
    const int length = ChunkLength(*sequence, sequence->num_computed, tokens_left - *kept_for_short,
                                   RowsLeft(*plan) - decodes_left);
    if (length > 0) AddItem(sequence, length, plan);
  }
}

// Takes the items' blocks in order. Each may take those of sequences behind it, so an item that has its
// blocks keeps them, and the first one always gets them.
void Scheduler::ReserveBlocks(BatchPlan* plan) {
  for (std::size_t i = 0; i < plan->items.size(); ++i) {
    const ScheduledSequence item = plan->items[i];
    while (!blocks_.Grow(item.sequence, item.sequence->num_computed + item.num_tokens)) {
      REPRISE_CHECK(running_.size() > 1);
      Sequence* victim = running_.back();
      if (plan->items.back().sequence == victim) DropLastItem(plan);
      Preempt(victim);
      ++plan->num_preempted;
      if (victim == item.sequence) return;
    }
  }
}

// Preemption by recompute: what of its blocks is not needed meanwhile is found again in the prefix cache.
void Scheduler::Preempt(Sequence* sequence) {
  REPRISE_CHECK(running_.back() == sequence);
  running_.pop_back();
  sequence->running = false;
  ++sequence->num_preemptions;
  blocks_.Release(sequence);
  Enqueue(sequence);
}

void Scheduler::PlanWaiting(BatchPlan* plan) {
  int free_blocks = UnclaimedBlocks();
  // Beside an unfinished prefill only whole ones start: two long ones side by side would both end later, and
  // the second could not share blocks that the first is about to fill.
  bool only_whole = std::ranges::any_of(plan->items, WantsMoreTokens);
  while (!waiting_.empty() && HasSeat() && plan->token_budget_left > 0) {
    Sequence* sequence = *waiting_.begin();
    if (!Start(sequence, only_whole, &free_blocks, plan)) return;
    only_whole |= WantsMoreTokens(plan->items.back());
    waiting_.erase(waiting_.begin());
    running_.insert(std::ranges::upper_bound(running_, sequence, InOrder()), sequence);
    sequence->running = true;
  }
}

// A sequence starts when there is room for all of its tokens, though it may take several steps to fill it;
// otherwise prefills that can not all end would push each other out.
bool Scheduler::Start(Sequence* sequence, bool only_whole, int* free_blocks, BatchPlan* plan) {
  const bool looks_up = !NeedsPromptRows(*sequence);
  const PrefixMatch match = looks_up ? blocks_.MatchPrefix(sequence) : PrefixMatch();
  const int num_tokens = static_cast<int>(sequence->tokens.size());
  const int num_matched = static_cast<int>(match.blocks.size());
  const int needed = blocks_.BlocksFor(num_tokens) - num_matched + match.num_free_blocks;
  if (needed > *free_blocks) return false;
  const int num_computed = num_matched * config_.block_size;
  const int length = ChunkLength(*sequence, num_computed, plan->token_budget_left, RowsLeft(*plan));
  if (length == 0 || (only_whole && num_computed + length < num_tokens)) return false;

  blocks_.AttachPrefix(sequence, match);
  REPRISE_CHECK(blocks_.Grow(sequence, num_computed + length));
  *free_blocks -= needed;
  if (looks_up && sequence->num_preemptions == 0) {
    sequence->num_cached_prompt_tokens = num_computed;
    plan->prefix_queries += num_tokens;
    plan->prefix_hits += num_computed;
  }
  AddItem(sequence, length, plan);
  return true;
}

// Hands what was kept for short prefills, but could not be used, back to the unfinished ones.
void Scheduler::ExtendChunks(BatchPlan* plan) {
  for (ScheduledSequence& item : plan->items) {
    if (plan->token_budget_left == 0) return;
    if (item.reaches_end) continue;
    const int end = item.sequence->num_computed + item.num_tokens;
    const int length = ChunkLength(*item.sequence, end,
                                   std::min(plan->token_budget_left, blocks_.MaxTokens(*item.sequence) - end),
                                   RowsLeft(*plan));
    REPRISE_CHECK(blocks_.Grow(item.sequence, end + length));
    Charge(&item, length, plan);
  }
}

// Tokens of the waiting sequences that could start next and be computed whole within `limit`, as long as
// their priority is not behind the given one.
int Scheduler::ShortPrefillTokens(int limit, int priority) const {
  int total = 0;
  for (const Sequence* sequence : waiting_) {
    if (sequence->request->priority > priority) break;
    if (total + sequence->num_pending() > limit) break;
    total += sequence->num_pending();
  }
  return total;
}

// How many tokens from `num_computed` on fit the limits. The last one needs a row; with prompt
// log-probabilities each does, and up to half of the rows are left to those that could start beside it.
int Scheduler::ChunkLength(const Sequence& sequence, int num_computed, int max_tokens, int max_rows) const {
  const int pending = static_cast<int>(sequence.tokens.size()) - num_computed;
  const int length = std::min(pending, max_tokens);
  if (NeedsPromptRows(sequence)) {
    const int starts = std::min(static_cast<int>(waiting_.size()), config_.max_num_seqs - num_running());
    return std::min(length, max_rows - std::min(max_rows / 2, starts));
  }
  return length == pending && max_rows == 0 ? length - 1 : length;
}

// Free blocks that no running sequence needs for the tokens it has already.
int Scheduler::UnclaimedBlocks() const {
  int blocks = blocks_.num_free();
  for (const Sequence* sequence : running_) {
    if (sequence->complete()) continue;
    blocks -= blocks_.BlocksFor(static_cast<int>(sequence->tokens.size())) -
              static_cast<int>(sequence->block_table.size());
  }
  return blocks;
}

void Scheduler::ReserveDrafts(BatchPlan* plan, std::span<const int> wanted) {
  REPRISE_CHECK(wanted.size() == plan->items.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    ScheduledSequence& item = plan->items[i];
    if (!item.reaches_end) continue;
    Sequence* sequence = item.sequence;
    const int num_tokens = static_cast<int>(sequence->tokens.size());
    // A draft of k gives up to k + 1 tokens; more than are still wanted would be thrown away.
    const int useful = MaxDraftTokens(*sequence);
    const int length = std::min({wanted[i], useful, plan->token_budget_left, RowsLeft(*plan),
                                 blocks_.MaxTokens(*sequence) - num_tokens});
    if (length <= 0) continue;
    REPRISE_CHECK(blocks_.Grow(sequence, num_tokens + length));
    item.num_draft_tokens = length;
    plan->num_tokens += length;
    plan->token_budget_left -= length;
    plan->num_logit_rows += length;
  }
}

}  // namespace reprise
