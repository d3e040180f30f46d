#include "cli/signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <utility>

namespace reprise {
namespace {

// What the destructor wakes the watching thread with.
constexpr int kWakeSignal = SIGUSR2;

sigset_t WatchedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, kWakeSignal}) sigaddset(&set, signal);
  return set;
}

}  // namespace

SignalWatcher::SignalWatcher() {
  signal(SIGPIPE, SIG_IGN);
  const sigset_t set = WatchedSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([this] { Run(); });
}

SignalWatcher::~SignalWatcher() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  pthread_kill(thread_.native_handle(), kWakeSignal);
  thread_.join();
}

void SignalWatcher::OnReload(std::function<void()> reload) {
  std::lock_guard lock(mutex_);
  reload_ = std::move(reload);
}

void SignalWatcher::BeginServing() {
  std::lock_guard lock(mutex_);
  serving_ = true;
}

void SignalWatcher::EndServing() {
  std::lock_guard lock(mutex_);
  terminating_ = true;
  changed_.notify_all();
}

void SignalWatcher::WaitForTermination() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return terminating_; });
}

void SignalWatcher::Run() {
  const sigset_t set = WatchedSignals();
  for (;;) {
    int signal = 0;
    if (sigwait(&set, &signal) != 0) continue;
    std::unique_lock lock(mutex_);
    if (stopped_) return;
    if (signal == SIGHUP && reload_) {
      const std::function<void()> reload = reload_;
      lock.unlock();
      reload();
    } else if (signal == SIGTERM || signal == SIGINT) {
      Terminate();
    }
  }
}

void SignalWatcher::Terminate() {
  if (terminating_) _exit(1);
  if (!serving_) _exit(0);
  terminating_ = true;
  changed_.notify_all();
}

}  // namespace reprise
