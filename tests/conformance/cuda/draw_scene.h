// Random rows of logits and requests, to draw from on the device and on the host.
#pragma once

#include <memory>
#include <random>
#include <vector>

#include "scheduler/sequence.h"

namespace reprise::test {

// [vocabulary]: most often a normal row; else one with ties, equal values, one finite value, values that are
// -infinity or NaN, a few far ahead of the rest, or none that is finite.
std::vector<float> RandomLogits(std::mt19937& random, int vocabulary);

// A sequence of a request with some of: temperature, filters, penalties, bias, min_tokens, log-probabilities.
struct RandomSequence {
  explicit RandomSequence(std::mt19937& random, int vocabulary);

  std::shared_ptr<Request> request;
  Sequence sequence;
};

}  // namespace reprise::test
