#include "base/thread_pool.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/thread_name.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace reprise {
namespace {

// Longer than the serial gap between two ops of a step, much shorter than the time between two requests.
constexpr std::chrono::microseconds kSpinBeforePark{50};
constexpr int kSpinsPerClockRead = 64;

// A share is one word, so that taking a piece and checking that it belongs to the loop one was woken for are
// one atomic operation.
constexpr int kPieceBits = 22;
constexpr std::uint64_t kPieceMask = (std::uint64_t{1} << kPieceBits) - 1;
constexpr std::uint64_t kLoopMask = (std::uint64_t{1} << (64 - 2 * kPieceBits)) - 1;

std::uint64_t MakeShare(std::uint64_t loop, int begin, int end) {
  return (loop & kLoopMask) << (2 * kPieceBits) | static_cast<std::uint64_t>(end) << kPieceBits |
         static_cast<std::uint64_t>(begin);
}
std::uint64_t LoopOf(std::uint64_t share) {
  return share >> (2 * kPieceBits);
}
std::uint64_t EndOf(std::uint64_t share) {
  return (share >> kPieceBits) & kPieceMask;
}
std::uint64_t NextOf(std::uint64_t share) {
  return share & kPieceMask;
}

inline void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads)
    : num_threads_(std::max(1, threads)), shares_(std::make_unique<Counter[]>(num_threads_)) {
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
  REPRISE_CHECK(grain > 0);
  if (count <= 0) return;
  if (num_threads_ == 1 || count <= grain) {
    for (int begin = 0; begin < count; begin += grain) body(begin, std::min(count, begin + grain), 0);
    return;
  }
  const int pieces = (count - 1) / grain + 1;
  REPRISE_CHECK(static_cast<std::uint64_t>(pieces) <= kPieceMask);
  body_ = &body;
  count_ = count;
  grain_ = grain;
  done_.value.store(0, std::memory_order_relaxed);
  const std::uint64_t loop = loop_.value.load(std::memory_order_relaxed) + 1;
  for (int t = 0; t < num_threads_; ++t) {
    const auto begin = static_cast<int>(std::int64_t{pieces} * t / num_threads_);
    const auto end = static_cast<int>(std::int64_t{pieces} * (t + 1) / num_threads_);
    shares_[t].value.store(MakeShare(loop, begin, end), std::memory_order_release);
  }
  loop_.value.store(loop, std::memory_order_seq_cst);
  if (parked_.load(std::memory_order_seq_cst) > 0) {
    { std::lock_guard lock(mutex_); }  // a worker between its last look and its wait must not miss the call
    wake_.notify_all();
  }
  RunPieces(loop, 0);
  int spins = 0;
  while (done_.value.load(std::memory_order_acquire) != static_cast<std::uint64_t>(pieces)) {
    Pause();
    // A worker that was descheduled while it holds a piece needs a core.
    if (++spins % (16 * kSpinsPerClockRead) == 0) std::this_thread::yield();
  }
}

void ThreadPool::RunPieces(std::uint64_t loop, int thread) {
  int done = 0;
  for (int i = 0; i < num_threads_; ++i) done += DrainShare(loop, (thread + i) % num_threads_, thread);
  if (done > 0) done_.value.fetch_add(static_cast<std::uint64_t>(done), std::memory_order_release);
}

int ThreadPool::DrainShare(std::uint64_t loop, int owner, int thread) {
  std::atomic<std::uint64_t>& word = shares_[owner].value;
  int done = 0;
  std::uint64_t share = word.load(std::memory_order_acquire);
  while (LoopOf(share) == (loop & kLoopMask) && NextOf(share) < EndOf(share)) {
    if (!word.compare_exchange_weak(share, share + 1, std::memory_order_acq_rel, std::memory_order_acquire))
      continue;
    const std::int64_t begin = static_cast<std::int64_t>(NextOf(share)) * grain_;
    (*body_)(static_cast<int>(begin), static_cast<int>(std::min<std::int64_t>(count_, begin + grain_)),
             thread);
    ++done;
    share = word.load(std::memory_order_acquire);
  }
  return done;
}

void ThreadPool::WaitForLoop(std::uint64_t seen) {
  const auto news = [&] {
    return loop_.value.load(std::memory_order_seq_cst) != seen || stop_.load(std::memory_order_relaxed);
  };
  const auto give_up = std::chrono::steady_clock::now() + kSpinBeforePark;
  do {
    for (int i = 0; i < kSpinsPerClockRead; ++i) {
      if (news()) return;
      Pause();
    }
  } while (std::chrono::steady_clock::now() < give_up);
  std::unique_lock lock(mutex_);
  parked_.fetch_add(1, std::memory_order_seq_cst);
  wake_.wait(lock, news);
  parked_.fetch_sub(1, std::memory_order_relaxed);
}

void ThreadPool::WorkerLoop(int thread) {
  SetThreadName("compute");
  std::uint64_t seen = 0;
  while (!stop_.load(std::memory_order_relaxed)) {
    WaitForLoop(seen);
    seen = loop_.value.load(std::memory_order_acquire);
    RunPieces(seen, thread);
  }
}

}  // namespace reprise
