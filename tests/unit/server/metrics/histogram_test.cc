#include "server/metrics/histogram.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "server/metrics/buckets.h"

namespace reprise {

TEST_CASE("A value on a bound belongs to that bound's bucket", "[metrics]") {
  Histogram histogram({1, 2, 5});
  for (double value : {0.5, 1.0, 1.5, 2.0, 5.0, 5.5, 100.0}) histogram.Observe(value);
  CHECK(histogram.counts() == std::vector<std::uint64_t>{2, 2, 1, 2});
  CHECK(histogram.sum() == 115.5);
}

TEST_CASE("Bounds ascend, and seconds begin at a tenth of a millisecond", "[metrics]") {
  for (const auto& bounds : {TimeToFirstTokenBuckets(), TokenLatencyBuckets(), RequestLatencyBuckets()}) {
    CHECK(std::is_sorted(bounds.begin(), bounds.end()));
    CHECK(std::adjacent_find(bounds.begin(), bounds.end()) == bounds.end());
    CHECK(bounds.front() == 0.0001);
  }
  // vLLM's first bound of time to first token is 1 ms already; of the others 10 ms and 300 ms.
  CHECK(TimeToFirstTokenBuckets()[3] == 0.001);
  CHECK(TimeToFirstTokenBuckets()[4] == 0.005);
  CHECK(TokenLatencyBuckets()[6] == 0.01);
  CHECK(RequestLatencyBuckets()[6] == 0.3);
}

TEST_CASE("One, two, five, ten", "[metrics]") {
  CHECK(OneTwoFiveBuckets(128) == std::vector<double>{1, 2, 5, 10, 20, 50, 100});
  CHECK(OneTwoFiveBuckets(0).empty());
}

}  // namespace reprise
