#include "tests/unit/kernels/cuda/faulty_kernels.h"

#include "kernels/cuda/dialect.h"
#include "kernels/cuda/emulation/runtime_api.h"

namespace reprise::test {
namespace {

using cuda::CommitAsyncCopies;
using cuda::CopyAsync16;
using cuda::WaitForAsyncCopies;

constexpr int kThreads = 64;

__device__ int Thread() {
  return static_cast<int>(threadIdx.x);
}

__global__ void Correct(const FaultParameters& p) {
  SHARED_ARRAY(float, values, [kThreads]);
  values[Thread()] = p.in[Thread()];
  __syncthreads();
  float sum = values[kThreads - 1 - Thread()];
  for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
  __syncthreads();
  values[Thread()] = sum;
  p.out[Thread()] = values[Thread()];
}

__global__ void MissingBarrier(const FaultParameters& p) {
  SHARED_ARRAY(float, values, [kThreads]);
  values[Thread()] = 1.0f;
  p.out[Thread()] = values[kThreads - 1 - Thread()];
}

__global__ void MissingSecondBarrier(const FaultParameters& p) {
  SHARED_ARRAY(float, values, [kThreads]);
  float sum = 0.0f;
  for (int i = 0; i < 3; ++i) {
    values[Thread()] = static_cast<float>(i);
    __syncthreads();
    sum += values[(Thread() + 33) % kThreads];
  }
  p.out[Thread()] = sum;
}

__global__ void MissingSyncWarp(const FaultParameters& p) {
  SHARED_ARRAY(float, values, [kThreads]);
  values[Thread()] = 1.0f;
  p.out[Thread()] = values[Thread() ^ 1];
}

__global__ void UnsharedByOneThread(const FaultParameters& p) {
  SHARED_ARRAY(float, value, [1]);
  if (Thread() == 0) value[0] = 7.0f;
  p.out[Thread()] = value[0];
}

__global__ void EarlyExit(const FaultParameters& p) {
  if (Thread() >= 40) return;
  __syncthreads();
  p.out[Thread()] = 1.0f;
}

__global__ void DivergentBarrier(const FaultParameters& p) {
  if (Thread() < 32) {
    __syncthreads();
    p.out[0] = 1.0f;
  } else {
    __syncthreads();
    p.out[1] = 1.0f;
  }
}

__global__ void SharedOverrunWrite(const FaultParameters& p) {
  SHARED_ARRAY(float, values, [kThreads]);
  values[Thread() + p.one] = 1.0f;
  __syncthreads();
  p.out[Thread()] = 1.0f;
}

__global__ void SharedOverrunRead(const FaultParameters& p) {
  SHARED_ARRAY(float, values, [kThreads]);
  values[Thread()] = 1.0f;
  __syncthreads();
  p.out[Thread()] = values[Thread() + p.one];
}

__global__ void DynamicOverrun(const FaultParameters& p) {
  DYNAMIC_SHARED(float, values);
  values[Thread() + p.one] = 1.0f;
  __syncthreads();
  p.out[Thread()] = 1.0f;
}

__global__ void UnwrittenShared(const FaultParameters& p) {
  SHARED_ARRAY(float, values, [kThreads]);
  if (Thread() < 60) values[Thread()] = 1.0f;
  __syncthreads();
  p.out[Thread()] = values[Thread()];
}

__global__ void AbsentLanes(const FaultParameters& p) {
  float value = p.in[Thread()];
  if (Thread() < 16) value += __shfl_xor_sync(~0u, value, 1);
  p.out[Thread()] = value;
}

__global__ void CopyNotWaitedFor(const FaultParameters& p) {
  SHARED_ARRAY(float4, values, [kThreads]);
  CopyAsync16(&values[Thread()], p.in);
  CommitAsyncCopies();
  p.out[Thread()] = 1.0f;
}

__global__ void CopyReadTooEarly(const FaultParameters& p) {
  SHARED_ARRAY(float4, values, [kThreads]);
  CopyAsync16(&values[Thread()], p.in);
  CommitAsyncCopies();
  __syncthreads();
  p.out[Thread()] = values[Thread()].x;
  WaitForAsyncCopies<0>();
}

__global__ void GlobalOverrun(const FaultParameters& p) {
  p.out[Thread() + p.one] = p.in[Thread() + p.one];
}

__global__ void HostPointer(const FaultParameters& p) {
  p.out[Thread()] = p.host[Thread()];
}

__global__ void Misaligned(const FaultParameters& p) {
  const auto* values = reinterpret_cast<const std::uint64_t*>(p.in + p.one);
  p.out[Thread()] = static_cast<float>(values[0]);
}

template <void (*kKernel)(const FaultParameters&)>
void Call(const void* parameters) {
  kKernel(*static_cast<const FaultParameters*>(parameters));
}

using Entry = void (*)(const void*);

Entry EntryOf(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return &Call<Correct>;
    case Fault::kMissingBarrier:
      return &Call<MissingBarrier>;
    case Fault::kMissingSecondBarrier:
      return &Call<MissingSecondBarrier>;
    case Fault::kMissingSyncWarp:
      return &Call<MissingSyncWarp>;
    case Fault::kUnsharedByOneThread:
      return &Call<UnsharedByOneThread>;
    case Fault::kEarlyExit:
      return &Call<EarlyExit>;
    case Fault::kDivergentBarrier:
      return &Call<DivergentBarrier>;
    case Fault::kSharedOverrunWrite:
      return &Call<SharedOverrunWrite>;
    case Fault::kSharedOverrunRead:
      return &Call<SharedOverrunRead>;
    case Fault::kDynamicOverrun:
      return &Call<DynamicOverrun>;
    case Fault::kUnwrittenShared:
      return &Call<UnwrittenShared>;
    case Fault::kAbsentLanes:
      return &Call<AbsentLanes>;
    case Fault::kCopyNotWaitedFor:
      return &Call<CopyNotWaitedFor>;
    case Fault::kCopyReadTooEarly:
      return &Call<CopyReadTooEarly>;
    case Fault::kGlobalOverrun:
      return &Call<GlobalOverrun>;
    case Fault::kHostPointer:
      return &Call<HostPointer>;
    case Fault::kMisaligned:
      return &Call<Misaligned>;
  }
  return nullptr;
}

}  // namespace

std::string RunFaulty(Fault fault, const FaultParameters& parameters) {
  const Entry entry = EntryOf(fault);
  const cuda_emulation::GridShape shape = {{1}, {kThreads}, kThreads * sizeof(float)};
  cuda_emulation::Enqueue(nullptr,
                          [&] { cuda_emulation::RunLaunch(shape, entry, &parameters, sizeof(parameters)); });
  return cuda_emulation::TakeFault();
}

}  // namespace reprise::test
