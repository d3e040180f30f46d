// A small team of threads for data-parallel loops inside one step.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace reprise {

// A non-owning reference to a callable `void(int begin, int end, int thread)`: ParallelFor allocates nothing.
class RangeFunction {
 public:
  template <typename F>
  RangeFunction(F&& f)  // NOLINT: implicit, so that a lambda can be passed
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* o, int b, int e, int t) { (*static_cast<std::remove_reference_t<F>*>(o))(b, e, t); }) {
  }
  void operator()(int begin, int end, int thread) const { call_(object_, begin, end, thread); }

 private:
  void* object_;
  void (*call_)(void*, int, int, int);
};

// `threads` in all, the caller among them. Workers spin for a moment, then park: an idle server uses no CPU,
// and a third runnable thread does not stall a step for a scheduler quantum. Each thread owns a contiguous
// share of a loop, which it takes in small pieces (so it streams through memory), and then helps the others:
// a descheduled worker delays a loop by at most the one piece it holds, and one that sleeps by nothing at
// all. One caller at a time.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // Calls body(begin, end, thread) for consecutive pieces of at most `grain` covering [0, count); returns
  // when all are done. Which thread gets which piece is not determined; bodies must not care.
  void ParallelFor(int count, int grain, RangeFunction body);

 private:
  struct alignas(64) Counter {
    std::atomic<std::uint64_t> value{0};
  };

  void WorkerLoop(int thread);
  void WaitForLoop(std::uint64_t seen);
  void RunPieces(std::uint64_t loop, int thread);
  // Runs pieces of `owner`'s share until it is empty; the number run.
  int DrainShare(std::uint64_t loop, int owner, int thread);

  const int num_threads_;
  std::vector<std::thread> workers_;

  // The current loop. Written by the caller before the shares are opened; read only by who holds a piece, and
  // the loop cannot end before that piece does.
  const RangeFunction* body_ = nullptr;
  int count_ = 0;
  int grain_ = 1;

  std::unique_ptr<Counter[]> shares_;  // per thread: loop number, end and next piece in one word
  Counter loop_;                       // number of the current loop
  Counter done_;                       // pieces of it that are finished
  std::atomic<bool> stop_{false};
  std::atomic<int> parked_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace reprise
