// Log-probabilities that were computed on the device and on the host.
#pragma once

#include <catch2/catch.hpp>
#include <span>

#include "engine/token_stream.h"

namespace reprise::test {

// The same tokens, ranks and alternatives; log-probabilities up to rounding.
inline void CheckSameScores(std::span<const GeneratedToken> got, std::span<const GeneratedToken> expected) {
  const auto near = [](float value) { return Approx(value).margin(1e-4); };
  REQUIRE(got.size() == expected.size());
  for (std::size_t t = 0; t < got.size(); ++t) {
    CHECK(got[t].token == expected[t].token);
    CHECK(got[t].logprob == near(expected[t].logprob));
    CHECK(got[t].rank == expected[t].rank);
    REQUIRE(got[t].top.size() == expected[t].top.size());
    for (std::size_t n = 0; n < got[t].top.size(); ++n) {
      CHECK(got[t].top[n].token == expected[t].top[n].token);
      CHECK(got[t].top[n].logprob == near(expected[t].top[n].logprob));
      CHECK(got[t].top[n].rank == expected[t].top[n].rank);
    }
  }
}

}  // namespace reprise::test
