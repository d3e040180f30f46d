#include "kernels/cuda/emulation/runtime_api.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

struct CUgraph_st {
  std::vector<std::function<void()>> work;
};
struct CUgraphExec_st {
  std::size_t device_bytes;
  std::shared_ptr<const std::vector<std::function<void()>>> work;  // of launches that wait, too
};
struct CUstream_st {
  CUgraph_st* capture = nullptr;
  std::deque<std::function<void()>> waiting;
  std::uint64_t num_run = 0;  // of what has waited
};
struct CUevent_st {
  CUstream_st* stream = nullptr;
  std::uint64_t position = 0;  // the stream's num_run once everything before the event has run
};

namespace reprise::cuda_emulation {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kCanaryBytes = 256;  // at least, behind each allocation
constexpr int kPoison = 0xff;              // NaN in every floating-point format

bool DeferredByEnvironment() {
  const char* const streams = std::getenv("REPRISE_EMULATION_STREAMS");
  return streams != nullptr && std::string_view(streams) == "deferred";
}

struct Device {
  std::map<char*, std::size_t> allocations;
  std::map<const char*, std::size_t> pinned;
  std::set<CUstream_st*> streams;
  bool deferred = DeferredByEnvironment();
  std::size_t capacity = std::size_t{4} << 30;
  std::size_t used = 0;
  cudaError_t error = cudaSuccess;  // sticks
  std::string fault;
  bool capturing = false;
  std::int64_t launches_before_fault = -1;       // below zero: none
  std::int64_t allocations_before_failure = -1;  // below zero: none
  Traffic traffic;
  bool keeps_graph_memory = false;
  std::size_t kept_graph_bytes = 0;  // of `used`

  // The capacity may have been set below what is in use.
  std::size_t Free() const { return capacity - std::min(capacity, used); }
};
Device& TheDevice() {
  static Device* const device = new Device;  // outlives whatever is freed at exit
  return *device;
}

// Whole pages.
std::size_t PaddedBytes(std::size_t bytes) {
  return (bytes + kCanaryBytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

// Opens device memory while a stream works.
class DeviceAccess {
 public:
  DeviceAccess() { Protect(PROT_READ | PROT_WRITE); }
  ~DeviceAccess() { Protect(PROT_NONE); }
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;

 private:
  static void Protect(int protection) {
    for (const auto& [memory, bytes] : TheDevice().allocations)
      REPRISE_CHECK(mprotect(memory, PaddedBytes(bytes), protection) == 0);
  }
};

// Runs what has waited in a stream, up to a position; after a fault nothing runs any more.
void RunUntil(CUstream_st* stream, std::uint64_t position) {
  while (!stream->waiting.empty() && stream->num_run < position) {
    const std::function<void()> work = std::move(stream->waiting.front());
    stream->waiting.pop_front();
    ++stream->num_run;
    if (TheDevice().error != cudaSuccess) continue;
    const DeviceAccess access;
    work();
  }
}
// The default stream (nullptr) never waits.
void RunAll(CUstream_st* stream) {
  if (stream != nullptr) RunUntil(stream, stream->num_run + stream->waiting.size());
}
void RunAllStreams() {
  for (CUstream_st* stream : TheDevice().streams) RunAll(stream);
}

bool Captures(const CUstream_st* stream) {
  return stream != nullptr && stream->capture != nullptr;
}

bool IsPinned(const void* address) {
  const auto& pinned = TheDevice().pinned;
  auto after = pinned.upper_bound(static_cast<const char*>(address));
  if (after == pinned.begin()) return false;
  --after;
  return static_cast<const char*>(address) < after->first + after->second;
}

void ReleaseGraphMemory() {
  TheDevice().used -= std::exchange(TheDevice().kept_graph_bytes, 0);
}

// Counts it; whether it is the one that is to fail.
bool AllocationFails() {
  ++TheDevice().traffic.allocations;
  return TheDevice().allocations_before_failure-- == 0;
}

// What a stream must not do while it captures, and what nothing does after a fault.
cudaError_t ErrorOfBlockingCall() {
  if (TheDevice().capturing) return cudaErrorStreamCaptureUnsupported;
  return TheDevice().error;
}

}  // namespace

bool IsDeviceRange(const void* address, std::size_t bytes) {
  const auto& allocations = TheDevice().allocations;
  const char* p = static_cast<const char*>(address);
  auto after = allocations.upper_bound(const_cast<char*>(p));
  if (after == allocations.begin()) return false;
  --after;
  return p + bytes <= after->first + after->second;
}

cudaError_t Enqueue(cudaStream_t stream, std::function<void()> work) {
  if (Captures(stream)) {
    stream->capture->work.push_back(std::move(work));
    return cudaSuccess;
  }
  if (const cudaError_t error = ErrorOfBlockingCall(); error != cudaSuccess) return error;
  if (TheDevice().deferred && stream != nullptr) {
    stream->waiting.push_back(std::move(work));
    return cudaSuccess;
  }
  const DeviceAccess access;
  work();
  return cudaSuccess;
}

void RunLaunch(const GridShape& shape, void (*kernel)(const void*), const void* parameters,
               std::size_t parameter_bytes) {
  Device& device = TheDevice();
  if (device.error != cudaSuccess) return;
  static const char* const forced = std::getenv("REPRISE_EMULATION_FAULT_FILE");
  const bool faults = device.launches_before_fault-- == 0 || (forced != nullptr && access(forced, F_OK) == 0);
  if (!faults && RunGrid(shape, kernel, parameters, parameter_bytes)) return;
  device.error = cudaErrorLaunchFailure;
  device.fault = faults ? "a fault that was asked for" : TakeFailure();
  std::fprintf(stderr, "emulated kernel: %s\n", device.fault.c_str());
}

void SetDeferredStreams(bool deferred) {
  RunAllStreams();
  TheDevice().deferred = deferred;
}

bool StreamsAreDeferred() {
  return TheDevice().deferred;
}

std::size_t NumWaiting() {
  std::size_t count = 0;
  for (const CUstream_st* stream : TheDevice().streams) count += stream->waiting.size();
  return count;
}

Traffic TakeTraffic() {
  return std::exchange(TheDevice().traffic, {});
}

void FaultAfter(int num_launches) {
  TheDevice().launches_before_fault = num_launches;
}

std::string TakeFault() {
  RunAllStreams();
  TheDevice().launches_before_fault = -1;
  TheDevice().error = cudaSuccess;
  return std::exchange(TheDevice().fault, "");
}

void SetDeviceMemoryBytes(std::size_t bytes) {
  TheDevice().capacity = bytes;
}

std::size_t DeviceMemoryInUse() {
  return TheDevice().used;
}

void SetGraphMemoryIsKept(bool kept) {
  TheDevice().keeps_graph_memory = kept;
  if (!kept) ReleaseGraphMemory();
}

void FailAllocationAfter(int num_allocations) {
  TheDevice().allocations_before_failure = num_allocations;
}

}  // namespace reprise::cuda_emulation

using reprise::cuda_emulation::AllocationFails;
using reprise::cuda_emulation::Captures;
using reprise::cuda_emulation::DeviceAccess;
using reprise::cuda_emulation::Enqueue;
using reprise::cuda_emulation::ErrorOfBlockingCall;
using reprise::cuda_emulation::IsPinned;
using reprise::cuda_emulation::kGraphCommandBytes;
using reprise::cuda_emulation::kPoison;
using reprise::cuda_emulation::PaddedBytes;
using reprise::cuda_emulation::ReleaseGraphMemory;
using reprise::cuda_emulation::RunAll;
using reprise::cuda_emulation::RunAllStreams;
using reprise::cuda_emulation::RunUntil;
using reprise::cuda_emulation::TheDevice;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return cudaErrorInvalidDevice;
  *properties = {};
  std::strcpy(properties->name, "CPU emulation");
  properties->multiProcessorCount = 2;
  properties->major = 9;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *total = TheDevice().capacity;
  *free = TheDevice().Free();
  return TheDevice().error;
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  if (const cudaError_t error = ErrorOfBlockingCall(); error != cudaSuccess) return error;
  if (AllocationFails() || bytes > TheDevice().Free()) return cudaErrorMemoryAllocation;
  void* mapped = mmap(nullptr, PaddedBytes(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return cudaErrorMemoryAllocation;
  std::memset(mapped, kPoison, PaddedBytes(bytes));
  REPRISE_CHECK(mprotect(mapped, PaddedBytes(bytes), PROT_NONE) == 0);
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(static_cast<char*>(mapped) + bytes, PaddedBytes(bytes) - bytes);
#endif
  TheDevice().allocations[static_cast<char*>(mapped)] = bytes;
  TheDevice().used += bytes;
  *memory = mapped;
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  auto& allocations = TheDevice().allocations;
  const auto found = allocations.find(static_cast<char*>(memory));
  if (found == allocations.end()) return cudaErrorInvalidValue;
  RunAllStreams();
  const std::size_t bytes = found->second;
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(memory, PaddedBytes(bytes));
#else
  {
    const DeviceAccess access;  // kernels must not have written past the end
    for (std::size_t i = bytes; i < PaddedBytes(bytes); ++i)
      REPRISE_CHECK(static_cast<unsigned char*>(memory)[i] == kPoison);
  }
#endif
  TheDevice().used -= bytes;
  allocations.erase(found);
  munmap(memory, PaddedBytes(bytes));
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  if (AllocationFails()) return cudaErrorMemoryAllocation;
  *memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (*memory == nullptr) return cudaErrorMemoryAllocation;
  TheDevice().pinned[static_cast<const char*>(*memory)] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  RunAllStreams();
  TheDevice().pinned.erase(static_cast<const char*>(memory));
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  TheDevice().traffic.copies_to_device += kind == cudaMemcpyHostToDevice;
  TheDevice().traffic.copies_to_host += kind == cudaMemcpyDeviceToHost;
  const cudaError_t error = Enqueue(stream, [=] { std::memcpy(target, source, bytes); });
  // Memory that is not pinned has been read or written when the call returns.
  const void* host = kind == cudaMemcpyHostToDevice ? source : target;
  if (kind != cudaMemcpyDeviceToDevice && !Captures(stream) && !IsPinned(host)) RunAll(stream);
  return error != cudaSuccess ? error : TheDevice().error;
}
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
  return Enqueue(stream, [=] { std::memset(memory, value, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  TheDevice().streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  RunAll(stream);
  TheDevice().streams.erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ++TheDevice().traffic.waits;
  if (const cudaError_t error = ErrorOfBlockingCall(); error != cudaSuccess) return error;
  RunAll(stream);
  return TheDevice().error;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  *event = {stream, stream == nullptr ? 0 : stream->num_run + stream->waiting.size()};
  return TheDevice().error;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ++TheDevice().traffic.waits;
  if (const cudaError_t error = ErrorOfBlockingCall(); error != cudaSuccess) return error;
  if (event->stream != nullptr) RunUntil(event->stream, event->position);
  return TheDevice().error;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (const cudaError_t error = ErrorOfBlockingCall(); error != cudaSuccess) return error;
  stream->capture = new CUgraph_st;
  TheDevice().capturing = true;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = std::exchange(stream->capture, nullptr);
  TheDevice().capturing = false;
  return *graph == nullptr ? cudaErrorInvalidValue : cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  const std::size_t bytes = graph->work.size() * kGraphCommandBytes;
  std::size_t& kept = TheDevice().kept_graph_bytes;
  const std::size_t fresh = bytes - std::min(bytes, kept);
  if (fresh > TheDevice().Free()) return cudaErrorMemoryAllocation;
  TheDevice().used += fresh;
  kept -= bytes - fresh;
  *executable =
      new CUgraphExec_st{bytes, std::make_shared<const std::vector<std::function<void()>>>(graph->work)};
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) {
  return TheDevice().error;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  ++TheDevice().traffic.graphs;
  return Enqueue(stream, [graph = executable->work] {
    for (const auto& work : *graph) work();
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  TheDevice().kept_graph_bytes += executable->device_bytes;
  if (!TheDevice().keeps_graph_memory) ReleaseGraphMemory();
  delete executable;
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
  }
  return "unknown error";
}
