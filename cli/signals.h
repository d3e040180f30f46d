// Signals as events on a thread of their own, so that nothing runs inside a signal handler.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace reprise {

// SIGTERM and SIGINT ask for the end; a second one ends the process at once with exit code 1. SIGHUP asks for
// a reload. Construct before any other thread starts: threads inherit the mask that keeps the signals for
// this one. SIGPIPE is ignored.
class SignalWatcher {
 public:
  SignalWatcher();
  ~SignalWatcher();

  // Called on the watcher's thread for each SIGHUP.
  void OnReload(std::function<void()> reload);
  // Until this is called, the first SIGTERM or SIGINT ends the process with exit code 0: nothing is being
  // served yet.
  void BeginServing();
  // Asks for the end from within; any thread.
  void EndServing();
  // Blocks until the end is asked for.
  void WaitForTermination();

 private:
  void Run();
  void Terminate();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> reload_;
  bool serving_ = false;
  bool terminating_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace reprise
