#include "scheduler/scheduler.h"

#include <string>
#include <utility>

#include "base/check.h"

namespace reprise {

Scheduler::Scheduler(const SchedulerConfig& config)
    : config_(config), blocks_(config.num_blocks, config.block_size, config.enable_prefix_cache) {
  REPRISE_CHECK(config.block_size > 0 && config.max_model_len > 0 && config.max_num_seqs > 0 &&
                config.max_num_batched_tokens > 0);
  REPRISE_CHECK(config.max_num_logit_rows >= config.max_num_seqs);
  REPRISE_CHECK(blocks_.BlocksFor(config.max_model_len) <= config.num_blocks);
}

Status Scheduler::Admit(std::shared_ptr<const Request> request) {
  if (request->prompt.empty()) return InvalidArgument("the prompt must have at least one token", "prompt");
  if (request->max_tokens < 0) {
    return InvalidArgument("max_tokens must not be negative, but is " + std::to_string(request->max_tokens),
                           "max_tokens");
  }
  const std::size_t total = request->prompt.size() + static_cast<std::size_t>(request->max_tokens);
  if (total > static_cast<std::size_t>(config_.max_model_len)) {
    return InvalidArgument(
        "the prompt's " + std::to_string(request->prompt.size()) + " tokens and max_tokens " +
            std::to_string(request->max_tokens) + " together exceed the context length of " +
            std::to_string(config_.max_model_len) + " tokens",
        request->prompt.size() > static_cast<std::size_t>(config_.max_model_len) ? "prompt" : "max_tokens");
  }
  auto sequence = std::make_unique<Sequence>();
  sequence->tokens = request->prompt;
  sequence->order = next_order_++;
  sequence->request = std::move(request);
  const auto [position, is_new] = sequences_.emplace(sequence->request->id, std::move(sequence));
  REPRISE_CHECK(is_new);
  Enqueue(position->second.get());
  return OkStatus();
}

void Scheduler::Enqueue(Sequence* sequence) {
  const Request& request = *sequence->request;
  if (request.choice > 0) {
    const Sequence* leader = Find(request.group);
    if (leader != nullptr && leader->num_generated() == 0) {
      held_[request.group].push_back(sequence);
      ++num_held_;
      return;
    }
  }
  waiting_.insert(sequence);
}

void Scheduler::ReleaseHeldChoices(RequestId group) {
  const auto held = held_.find(group);
  if (held == held_.end()) return;
  num_held_ -= static_cast<int>(held->second.size());
  waiting_.insert(held->second.begin(), held->second.end());
  held_.erase(held);
}

bool Scheduler::Finish(RequestId id) {
  const auto position = sequences_.find(id);
  if (position == sequences_.end()) return false;
  End(position->second.get());
  return true;
}

void Scheduler::End(Sequence* sequence) {
  const Request& request = *sequence->request;
  sequence->ended = true;
  if (sequence->running) {
    std::erase(running_, sequence);
    sequence->running = false;
    if (sequence->num_in_flight == 0) blocks_.Release(sequence);
  } else if (waiting_.erase(sequence) == 0) {
    REPRISE_CHECK(std::erase(held_.at(request.group), sequence) == 1);
    --num_held_;
  }
  if (request.choice == 0) ReleaseHeldChoices(request.id);
  ended_.push_back(std::move(sequences_.extract(request.id).mapped()));
}

const Sequence* Scheduler::Find(RequestId id) const {
  const auto position = sequences_.find(id);
  return position == sequences_.end() ? nullptr : position->second.get();
}

}  // namespace reprise
