// Drawing tokens from logits on the device.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/stream.h"

namespace reprise::cuda {

struct DrawParameters;

// The Backend's DrawRows: what it stages and where intermediate results lie. The kernels are in
// adjust_logits.cu, distribution.cu, sample.cu, rejection.cu and scores.cu; those that no row needs are not
// started.
class TokenDraws {
 public:
  explicit TokenDraws(Stream& stream) : stream_(stream), adjusted_(stream), distributions_(stream) {}

  // Takes the memory that draws from up to limits.max_logit_rows rows need. RESOURCE_EXHAUSTED with the size.
  Status Reserve(const StepLimits& limits);
  // Room for staging that draws from rows of so many columns need, one row at a time.
  static std::size_t StagingRoom(int columns);

  // As many rows at a time as staging has room for, which is nearly always all.
  void Draw(const DrawArgs& args);

 private:
  // Rows begin .. end - 1.
  void DrawGroup(const DrawArgs& args, std::size_t begin, std::size_t end);
  // What those rows name of the arguments' arrays, and they, in arrays of their own.
  void StageRows(const DrawArgs& args, std::span<const RowDraw> rows, DrawParameters* p);

  Stream& stream_;
  DeviceBuffer adjusted_;       // [R, V]
  DeviceBuffer distributions_;  // [R, 2]

  // Of one group.
  std::vector<RowDraw> group_;
  std::vector<LogitAdjustment> adjustments_;
  std::vector<TokenId> ahead_;
};

}  // namespace reprise::cuda
