#include "base/thread_pool.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

namespace reprise {
namespace {

TEST_CASE("Every index is visited exactly once", "[base]") {
  for (int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    CHECK(pool.num_threads() == threads);
    for (int count : {0, 1, 2, 5, 64, 1000}) {
      for (int grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
        pool.ParallelFor(count, grain, [&](int begin, int end, int thread) {
          if (begin < 0 || end > count || begin >= end || end - begin > grain || thread < 0 ||
              thread >= threads)
            std::abort();
          for (int i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
        });
        for (const auto& visit : visits) REQUIRE(visit == 1);
      }
    }
  }
}

TEST_CASE("Loops see what earlier loops wrote", "[base]") {
  ThreadPool pool(3);
  std::vector<int> values(300, 0);
  for (int round = 1; round <= 2000; ++round) {
    pool.ParallelFor(300, 7, [&](int begin, int end, int) {
      // The neighbour's value was written by whoever had it in the last round.
      for (int i = begin; i < end; ++i) values[static_cast<std::size_t>(i)] += 1;
    });
    if (values[static_cast<std::size_t>(round % 300)] != round) FAIL("round " << round);
  }
}

TEST_CASE("Parked workers wake up", "[base]") {
  ThreadPool pool(2);
  std::atomic<int> done{0};
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // longer than workers spin
    pool.ParallelFor(100, 1, [&](int begin, int end, int) { done += end - begin; });
  }
  CHECK(done == 500);
}

}  // namespace
}  // namespace reprise
