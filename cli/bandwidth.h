// What plain reading of a model's weights gives on this machine right now: the roofline that decode speed is
// set beside.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/backend.h"

namespace reprise {

// Reads the packed bytes of weights as a step of one row does, matrix by matrix, each cut in equal shares
// over a backend's host threads, but computes nothing and never waits between two matrices. What caches keep
// from one step to the next they keep here too. Backend and weights outlive it.
class WeightReader {
 public:
  WeightReader(Backend& backend, std::vector<const Weight*> weights);

  std::size_t bytes() const { return bytes_; }  // of one pass
  // Bytes per second over a few passes; 0 for weights that the host cannot read.
  double Measure();

 private:
  Backend* backend_;
  std::vector<const Weight*> weights_;
  std::size_t bytes_ = 0;
  bool readable_ = true;
};

}  // namespace reprise
