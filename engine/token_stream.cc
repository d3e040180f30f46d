#include "engine/token_stream.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace reprise {

void TokenStream::SetListener(std::function<void()> listener) {
  std::unique_lock lock(mutex_);
  listener_ = std::move(listener);
  const bool something = !batch_.tokens.empty() || !batch_.prompt.empty() || batch_.finished;
  notified_ = something;
  if (!something) return;
  lock.unlock();
  listener_();
}

TokenBatch TokenStream::Take() {
  std::lock_guard lock(mutex_);
  notified_ = false;
  return std::exchange(batch_, TokenBatch());
}

void TokenStream::Wait() {
  std::unique_lock lock(mutex_);
  ready_.wait(lock, [&] { return !batch_.tokens.empty() || !batch_.prompt.empty() || batch_.finished; });
}

void TokenStream::PushPrompt(std::vector<GeneratedToken> prompt) {
  pushed_.prompt = std::move(prompt);
}

void TokenStream::Push(GeneratedToken token) {
  pushed_.tokens.push_back(std::move(token));
}

void TokenStream::MovePushed() {
  if (!pushed_.prompt.empty()) batch_.prompt = std::exchange(pushed_.prompt, {});
  std::ranges::move(pushed_.tokens, std::back_inserter(batch_.tokens));
  pushed_.tokens.clear();
}

void TokenStream::Publish() {
  {
    std::lock_guard lock(mutex_);
    MovePushed();
    if (notified_ || (batch_.tokens.empty() && batch_.prompt.empty() && !batch_.finished)) return;
    notified_ = true;
    ready_.notify_one();
    if (!listener_) return;
  }
  // Outside the lock: the listener may wake a thread that takes at once. Nobody replaces the listener once
  // set.
  listener_();
}

void TokenStream::Finish(FinishReason reason, Status status, const RequestStats& stats) {
  {
    std::lock_guard lock(mutex_);
    REPRISE_CHECK(!ended_);
    ended_ = true;
    MovePushed();
    batch_.finished = true;
    batch_.finish_reason = reason;
    batch_.status = std::move(status);
    batch_.stats = stats;
  }
  Publish();
}

}  // namespace reprise
