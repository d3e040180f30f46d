// EngineCore::Step: which step is planned when.
//
// Usually a step ends before the next is planned. A step of plain decoding (and of prompts) on a backend that
// draws tokens is overtaken: it is committed ahead of its end, with stand-ins for the tokens, and the next
// step is planned, built and started behind it, reading the tokens where the device has left them
// (BatchView::drawn). Then it is waited for, and its tokens are resolved and published while the next one
// runs. Rows of requests that turn out to have ended are dropped with the step that computes them.
#include <algorithm>
#include <utility>

#include "engine/engine_core.h"

namespace reprise {
namespace {

// Whether what follows the item can be planned without the token that it gets.
bool IsCertain(const ScheduledSequence& item) {
  const Request& request = *item.sequence->request;
  const bool scores_prompt = request.prompt_logprobs >= 0 && item.sequence->num_generated() == 0;
  return !scores_prompt && (!item.reaches_end || request.max_tokens > 0);
}

}  // namespace

Result<bool> EngineCore::Step(EngineObserver* observer) {
  observer_ = observer;
  EngineStep* const running = std::exchange(in_flight_, nullptr);
  EngineStep* const next = StartNext(running);
  Status status = running != nullptr ? Finish(*running) : OkStatus();
  if (next != nullptr && next->may_be_overtaken && status.ok() && !live_.empty()) {
    in_flight_ = next;
  } else if (next != nullptr) {
    const Status finished = Finish(*next);
    if (status.ok()) status = finished;
  }
  RETURN_IF_ERROR(status);
  return running != nullptr || next != nullptr;
}

// nullptr: there is nothing to plan, or not before `running` has ended.
EngineStep* EngineCore::StartNext(EngineStep* running) {
  if (running != nullptr) CommitAhead(*running);
  EngineStep& next = running == steps_.data() ? steps_.back() : steps_.front();
  return Start(next, running != nullptr) ? &next : nullptr;
}

void EngineCore::CommitAhead(EngineStep& step) {
  step.overtaken = true;
  stand_ins_.clear();
  // An item's token comes from its last row of logits.
  for (const int end_row : step.builder.logit_row_start().subspan(1))
    stand_ins_.push_back(step.draws->StandIn(end_row - 1));
  scheduler_.CommitAhead(step.plan, stand_ins_);
}

bool EngineCore::MayBeOvertaken(const EngineStep& step) const {
  return steps_.size() > 1 && std::ranges::all_of(step.plan.items, &IsCertain);
}

void EngineCore::DropInFlight() {
  if (in_flight_ == nullptr) return;
  // A device error stays and is what the next step returns.
  static_cast<void>(Finish(*std::exchange(in_flight_, nullptr)));
}

}  // namespace reprise
