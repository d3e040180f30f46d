// CUDA's runtime API as far as our backend uses it, for machines without a GPU: names, signatures and error
// rules are those of cuda_runtime_api.h. Streams run their work at once or, with
// REPRISE_EMULATION_STREAMS=deferred in the environment, as late as CUDA allows: when somebody waits for it.
// Device memory is closed to host code: touching it outside of a stream's work is a segmentation fault. A
// kernel that faults leaves an error that sticks, as on a device, and prints what it did. Once the file
// $REPRISE_EMULATION_FAULT_FILE exists, the next launch faults. A graph takes device memory for each of its
// commands while it can be launched.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "kernels/cuda/emulation/block.h"

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidDevice = 101,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDisableTiming = 2;
inline constexpr unsigned cudaHostAllocDefault = 0;

using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;

struct cudaDeviceProp {
  char name[256];
  int multiProcessorCount;
  int major;
  int minor;
};

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);
cudaError_t cudaMalloc(void** memory, std::size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);
const char* cudaGetErrorString(cudaError_t error);

namespace reprise::cuda_emulation {

// Runs `work` now, or when the stream's turn comes, or keeps it for the graph that `stream` is capturing.
cudaError_t Enqueue(cudaStream_t stream, std::function<void()> work);
// Runs a grid as the work of a stream; a faulty kernel leaves cudaErrorLaunchFailure.
void RunLaunch(const GridShape& shape, void (*kernel)(const void* parameters), const void* parameters,
               std::size_t parameter_bytes);

// Whether streams run their work as late as CUDA allows, or at once. What waits runs first.
void SetDeferredStreams(bool deferred);
bool StreamsAreDeferred();
// Commands, graphs counting as one, that have been started and not run.
std::size_t NumWaiting();

// What the host has asked of the device.
struct Traffic {
  int copies_to_device = 0;
  int copies_to_host = 0;
  int graphs = 0;       // started
  int waits = 0;        // for a stream or an event
  int allocations = 0;  // of device memory and of pinned memory
};
// Since the last call.
Traffic TakeTraffic();

// Whether [address, address + bytes) lies in one allocation of device memory.
bool IsDeviceRange(const void* address, std::size_t bytes);

// Tests: so many launches run, and the next one faults.
void FaultAfter(int num_launches);
// Tests: what the kernel that faulted did; clears the error, which no device could.
std::string TakeFault();
// Tests: the memory of the emulated device; allocations beyond it fail.
void SetDeviceMemoryBytes(std::size_t bytes);
std::size_t DeviceMemoryInUse();
// Tests: so many allocations, of device memory or pinned, succeed, and the next one fails.
void FailAllocationAfter(int num_allocations);
// Of device memory, for each command of a graph.
inline constexpr std::size_t kGraphCommandBytes = std::size_t{16} << 10;
// Tests: whether the memory of graphs that are gone is kept for graphs to come, as drivers may.
void SetGraphMemoryIsKept(bool kept);

}  // namespace reprise::cuda_emulation
