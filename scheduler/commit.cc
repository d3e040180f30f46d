// Scheduler::Commit: what a step leaves behind.
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
  const Request& request = *sequence->request;
  const auto num_accepted = static_cast<int>(accepted.tokens.size());
  sequence->num_computed += item.num_tokens;
  CommitOutcome outcome;
  if (!item.reaches_end) {
    REPRISE_CHECK(num_accepted == 0);
  } else if (request.max_tokens == 0) {
    outcome.finish_reason = FinishReason::kLength;
  } else {
    REPRISE_CHECK(num_accepted > 0 && num_accepted <= item.num_draft_tokens + 1);
    if (request.choice == 0 && sequence->num_generated() == 0) ReleaseHeldChoices(request.id);
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

}  // namespace reprise
