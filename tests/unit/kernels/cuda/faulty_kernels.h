// Kernels with one mistake each, and what the emulator must say of it.
#pragma once

#include <string>

namespace reprise::test {

enum class Fault {
  kNone,
  kMissingBarrier,
  kMissingSecondBarrier,
  kMissingSyncWarp,
  kUnsharedByOneThread,
  kEarlyExit,
  kDivergentBarrier,
  kSharedOverrunWrite,
  kSharedOverrunRead,
  kDynamicOverrun,
  kUnwrittenShared,
  kAbsentLanes,
  kCopyNotWaitedFor,
  kCopyReadTooEarly,
  kGlobalOverrun,
  kHostPointer,
  kMisaligned,
};

struct FaultParameters {
  float* out;         // [64] device
  const float* in;    // [64] device, all 3
  const float* host;  // [64] host
  int one;            // 1, which the compiler does not know
  int unused;
};

// Runs the kernel of `fault` with 64 threads; what the emulator found, or "".
std::string RunFaulty(Fault fault, const FaultParameters& parameters);

}  // namespace reprise::test
