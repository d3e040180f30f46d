// The emulator finds what it says it finds: each faulty kernel is reported, or leaves NaN for a test to see.
// Compiled twice: plain, and with every access checked (REPRISE_TEST_CHECKED).
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "kernels/cuda/emulation/runtime_api.h"
#include "tests/unit/kernels/cuda/faulty_kernels.h"

namespace reprise::test {
namespace {

constexpr int kThreads = 64;

#if defined(REPRISE_TEST_CHECKED)
constexpr bool kChecked = true;
#else
constexpr bool kChecked = false;
#endif

struct Outcome {
  std::string message;
  std::vector<float> out;
};

Outcome Run(Fault fault) {
  void* in = nullptr;
  void* out = nullptr;
  constexpr std::size_t kBytes = kThreads * sizeof(float);
  REQUIRE(cudaMalloc(&in, kBytes) == cudaSuccess);
  REQUIRE(cudaMalloc(&out, kBytes + sizeof(float)) == cudaSuccess);
  const std::vector<float> threes(kThreads, 3.0f);
  REQUIRE(cudaMemcpyAsync(in, threes.data(), kBytes, cudaMemcpyHostToDevice, nullptr) == cudaSuccess);
  Outcome outcome;
  outcome.out.resize(kThreads);
  const FaultParameters parameters = {static_cast<float*>(out), static_cast<const float*>(in), threes.data(),
                                      1, 0};
  outcome.message = RunFaulty(fault, parameters);
  REQUIRE(cudaMemcpyAsync(outcome.out.data(), out, kBytes, cudaMemcpyDeviceToHost, nullptr) == cudaSuccess);
  REQUIRE(cudaFree(in) == cudaSuccess);
  REQUIRE(cudaFree(out) == cudaSuccess);
  return outcome;
}

TEST_CASE("a correct kernel is not complained of") {
  for (auto schedule : {cuda_emulation::Schedule::kForward, cuda_emulation::Schedule::kReverse,
                        cuda_emulation::Schedule::kRandom}) {
    cuda_emulation::SetSchedule(schedule, 3);
    const Outcome outcome = Run(Fault::kNone);
    CHECK(outcome.message == "");
    for (float value : outcome.out) CHECK(value == 96.0f);
  }
  cuda_emulation::SetSchedule(cuda_emulation::Schedule::kForward);
}

TEST_CASE("divergence and broken shared memory are reported") {
  struct Case {
    Fault fault;
    const char* message;
  };
  const Case cases[] = {{Fault::kEarlyExit, "24 threads have exited; 40 threads wait at __syncthreads of"},
                        {Fault::kDivergentBarrier, "barrier divergence"},
                        {Fault::kAbsentLanes, "16 threads wait in a warp operation"},
                        {Fault::kCopyNotWaitedFor, "never waited for"}};
  for (const Case& c : cases) CHECK_THAT(Run(c.fault).message, Catch::Contains(c.message));
  for (Fault overrun : {Fault::kSharedOverrunWrite, Fault::kDynamicOverrun}) {
    CHECK_THAT(Run(overrun).message, Catch::Contains(kChecked ? "outside every shared array" : "write past"));
  }
}

TEST_CASE("missing synchronisation shows in one of the two orders, or is reported as a race") {
  struct Case {
    Fault fault;
    float result;  // of the kernel its author had in mind
  };
  const Case cases[] = {{Fault::kMissingBarrier, 1.0f},   {Fault::kMissingSecondBarrier, 3.0f},
                        {Fault::kMissingSyncWarp, 1.0f},  {Fault::kUnsharedByOneThread, 7.0f},
                        {Fault::kUnwrittenShared, 1.0f},  {Fault::kCopyReadTooEarly, 3.0f},
                        {Fault::kSharedOverrunRead, 1.0f}};
  for (const Case& c : cases) {
    INFO(static_cast<int>(c.fault));
    bool seen = false;
    for (auto schedule : {cuda_emulation::Schedule::kForward, cuda_emulation::Schedule::kReverse}) {
      cuda_emulation::SetSchedule(schedule);
      const Outcome outcome = Run(c.fault);
      for (float value : outcome.out) seen = seen || value != c.result;
      if (kChecked) CHECK(!outcome.message.empty());
    }
    cuda_emulation::SetSchedule(cuda_emulation::Schedule::kForward);
    CHECK(seen);
  }
}

TEST_CASE("wild and misaligned accesses are reported where every access is checked") {
  if (!kChecked) return;
  CHECK_THAT(Run(Fault::kGlobalOverrun).message, Catch::Contains("outside every device allocation"));
  CHECK_THAT(Run(Fault::kHostPointer).message, Catch::Contains("outside every device allocation"));
  CHECK_THAT(Run(Fault::kMisaligned).message, Catch::Contains("misaligned access of 8 bytes"));
}

TEST_CASE("an error sticks until the test takes it") {
  void* memory = nullptr;
  cuda_emulation::RunLaunch(
      {{1}, {0}, 0}, [](const void*) {}, nullptr, 0);
  CHECK(cudaMalloc(&memory, 16) == cudaErrorLaunchFailure);
  CHECK(cudaStreamSynchronize(nullptr) == cudaErrorLaunchFailure);
  CHECK_THAT(cuda_emulation::TakeFault(), Catch::Contains("invalid launch configuration"));
  CHECK(cudaStreamSynchronize(nullptr) == cudaSuccess);
}

TEST_CASE("capture refuses what a device refuses") {
  cudaStream_t stream = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 16) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaMemsetAsync(&memory, 0, 1, nullptr) == cudaErrorStreamCaptureUnsupported);
  cudaGraph_t graph = nullptr;
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
  REQUIRE(cudaStreamDestroy(stream) == cudaSuccess);
}

}  // namespace
}  // namespace reprise::test
