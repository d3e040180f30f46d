// Drawing tokens from logits on the device.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/stream.h"

namespace reprise::cuda {

// The Backend's DrawRows: what it stages and where intermediate results lie. The kernels are in
// adjust_logits.cu, distribution.cu, sample.cu, rejection.cu and scores.cu; those that no row needs are not
// started.
class TokenDraws {
 public:
  explicit TokenDraws(Stream& stream) : stream_(stream), adjusted_(stream), distributions_(stream) {}

  void Draw(const DrawArgs& args);

 private:
  Stream& stream_;
  DeviceBuffer adjusted_;       // [R, V]
  DeviceBuffer distributions_;  // [R, 2]
};

}  // namespace reprise::cuda
