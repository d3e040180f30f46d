#include "base/thread_pool.h"

#include <algorithm>

#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace reprise {
namespace {

// About 50 microseconds on current machines: longer than the serial gap between two ops of a step, much
// shorter than the time between two requests.
constexpr int kSpinsBeforePark = 4000;

inline void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) : num_threads_(std::max(1, threads)) {
  for (int t = 1; t < num_threads_; ++t) workers_.emplace_back([this, t] { WorkerLoop(t); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_.store(true, std::memory_order_seq_cst);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ParallelFor(int count, int grain, RangeFunction body) {
  CHECK(grain > 0);
  if (count <= 0) return;
  if (num_threads_ == 1 || count <= grain) {
    body(0, count, 0);
    return;
  }
  body_ = &body;
  count_ = count;
  grain_ = grain;
  next_.value.store(0, std::memory_order_relaxed);
  finished_.value.store(0, std::memory_order_relaxed);
  generation_.value.fetch_add(1, std::memory_order_seq_cst);
  if (parked_.load(std::memory_order_seq_cst) > 0) {
    { std::lock_guard lock(mutex_); }  // a worker between its last look and its wait must not miss the call
    wake_.notify_all();
  }
  RunPieces(0);
  const auto others = static_cast<std::uint64_t>(num_threads_ - 1);
  for (int spins = 0; finished_.value.load(std::memory_order_acquire) != others; ++spins) {
    if (spins < kSpinsBeforePark) {
      Pause();
    } else {
      std::this_thread::yield();  // a worker was descheduled: let it run
    }
  }
}

void ThreadPool::RunPieces(int thread) {
  for (;;) {
    const auto begin = static_cast<std::int64_t>(
        next_.value.fetch_add(static_cast<std::uint64_t>(grain_), std::memory_order_relaxed));
    if (begin >= count_) return;
    (*body_)(static_cast<int>(begin), static_cast<int>(std::min<std::int64_t>(count_, begin + grain_)),
             thread);
  }
}

void ThreadPool::WorkerLoop(int thread) {
  std::uint64_t seen = 0;
  for (;;) {
    int spins = 0;
    while (generation_.value.load(std::memory_order_acquire) == seen) {
      if (stop_.load(std::memory_order_relaxed)) return;
      if (++spins < kSpinsBeforePark) {
        Pause();
        continue;
      }
      std::unique_lock lock(mutex_);
      parked_.fetch_add(1, std::memory_order_seq_cst);
      wake_.wait(lock, [&] {
        return stop_.load(std::memory_order_relaxed) ||
               generation_.value.load(std::memory_order_seq_cst) != seen;
      });
      parked_.fetch_sub(1, std::memory_order_relaxed);
      spins = 0;
    }
    ++seen;
    RunPieces(thread);
    finished_.value.fetch_add(1, std::memory_order_release);
  }
}

}  // namespace reprise
