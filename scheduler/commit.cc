// Scheduler::Commit, CommitAhead and Resolve: what a step leaves behind.
#include <algorithm>

#include "base/check.h"
#include "scheduler/scheduler.h"

namespace reprise {
namespace {

// Whether the sequence ends with the token just appended.
FinishReason EndsWith(const Sequence& sequence, TokenId token) {
  const Request& request = *sequence.request;
  const auto& stops = request.stop_token_ids;
  if (sequence.num_generated() > request.min_tokens && std::ranges::find(stops, token) != stops.end()) {
    return FinishReason::kStop;
  }
  return sequence.num_generated() >= request.max_tokens ? FinishReason::kLength : FinishReason::kNone;
}

// Appends the accepted tokens up to the one that ends the sequence.
CommitOutcome Append(std::span<const TokenId> accepted, Sequence* sequence) {
  CommitOutcome outcome;
  for (const TokenId token : accepted) {
    sequence->tokens.push_back(token);
    ++outcome.num_kept;
    outcome.finish_reason = EndsWith(*sequence, token);
    if (outcome.finish_reason != FinishReason::kNone) break;
  }
  return outcome;
}

}  // namespace

std::vector<CommitOutcome> Scheduler::Commit(const BatchPlan& plan,
                                             std::span<const AcceptedTokens> accepted) {
  REPRISE_CHECK(accepted.size() == plan.items.size());
  std::vector<CommitOutcome> outcomes;
  outcomes.reserve(plan.items.size());
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    outcomes.push_back(CommitItem(plan.items[i], accepted[i]));
  }
  return outcomes;
}

CommitOutcome Scheduler::CommitItem(const ScheduledSequence& item, const AcceptedTokens& accepted) {
  Sequence* sequence = item.sequence;
  const auto num_accepted = static_cast<int>(accepted.tokens.size());
  CommitOutcome outcome;
  if (!LandsAlive(sequence)) return outcome;
  AdvanceOverChunk(item);
  if (!item.reaches_end) {
    REPRISE_CHECK(num_accepted == 0);
  } else if (sequence->request->max_tokens == 0) {
    outcome.finish_reason = FinishReason::kLength;
  } else {
    REPRISE_CHECK(num_accepted > 0 && num_accepted <= item.num_draft_tokens + 1);
    outcome = Append(accepted.tokens, sequence);
    sequence->num_computed += outcome.num_kept - 1;  // all but the last were drafted
  }
  blocks_.CacheFullBlocks(sequence);
  if (outcome.finish_reason != FinishReason::kNone) {
    End(sequence);
  } else {
    blocks_.Trim(sequence);
  }
  return outcome;
}

void Scheduler::CommitAhead(const BatchPlan& plan, std::span<const TokenId> stand_ins) {
  REPRISE_CHECK(!ahead_ && stand_ins.size() == plan.items.size());
  ahead_ = true;
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    const ScheduledSequence& item = plan.items[i];
    if (item.sequence->ended) continue;
    REPRISE_CHECK(item.num_draft_tokens == 0);
    AdvanceOverChunk(item);
    if (item.reaches_end) {
      REPRISE_CHECK(stand_ins[i] < 0 && item.sequence->request->max_tokens > 0);
      item.sequence->tokens.push_back(stand_ins[i]);
    }
    // All of them are known: the stand-in has not been computed.
    blocks_.CacheFullBlocks(item.sequence);
  }
}

std::vector<CommitOutcome> Scheduler::Resolve(const BatchPlan& plan,
                                              std::span<const AcceptedTokens> accepted) {
  REPRISE_CHECK(ahead_ && accepted.size() == plan.items.size());
  ahead_ = false;
  std::vector<CommitOutcome> outcomes;
  outcomes.reserve(plan.items.size());
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    outcomes.push_back(ResolveItem(plan.items[i], accepted[i]));
  }
  return outcomes;
}

CommitOutcome Scheduler::ResolveItem(const ScheduledSequence& item, const AcceptedTokens& accepted) {
  Sequence* sequence = item.sequence;
  CommitOutcome outcome;
  if (!LandsAlive(sequence)) return outcome;
  REPRISE_CHECK(accepted.tokens.size() == (item.reaches_end ? 1u : 0u));
  if (!item.reaches_end) return outcome;
  REPRISE_CHECK(sequence->tokens.back() < 0);
  sequence->tokens.pop_back();
  outcome = Append(accepted.tokens, sequence);
  if (outcome.finish_reason != FinishReason::kNone) End(sequence);
  return outcome;
}

// One plan less is in flight. False when the sequence was ended meanwhile; after its last plan nothing writes
// to its blocks any more.
bool Scheduler::LandsAlive(Sequence* sequence) {
  --sequence->num_in_flight;
  if (sequence->ended && sequence->num_in_flight == 0) blocks_.Release(sequence);
  return !sequence->ended;
}

// The item's chunk is in the cache, or will be when whatever is planned from now on runs.
void Scheduler::AdvanceOverChunk(const ScheduledSequence& item) {
  Sequence* sequence = item.sequence;
  sequence->num_computed += item.num_tokens;
  const Request& request = *sequence->request;
  if (item.reaches_end && request.choice == 0 && sequence->num_generated() == 0) {
    ReleaseHeldChoices(request.id);
  }
}

}  // namespace reprise
