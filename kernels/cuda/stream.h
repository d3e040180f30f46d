// The order in which a backend's work reaches its device. Operations are recorded as commands (plain bytes
// and a function that starts them) and handed over together: a list that has been seen before goes as one
// CUDA graph. What varies from step to step (token ids, slots, block tables) is staged in pinned memory and
// copied in one piece ahead of the commands, to addresses that stay the same, so that lists of like steps are
// alike.
//
// Not thread-safe. The first error of the device stays: later calls do nothing and Synchronize returns it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/cuda/graph_cache.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/staging.h"

namespace reprise::cuda {

class Stream {
 public:
  // CUDA graphs may come to take `graph_bytes` of the device's memory. FAILED_PRECONDITION when there is no
  // such device; RESOURCE_EXHAUSTED when it or pinned memory is full.
  static Result<std::unique_ptr<Stream>> Create(int device, std::size_t graph_bytes);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Appends a command: run(copy of `command`, stream), now or whenever the list is replayed.
  void Record(CommandFunction run, const void* command, std::size_t bytes);
  // Copies `values` to the device ahead of the commands recorded since the last Flush; the address is good
  // for commands until the next one. There may be one on the way: see MakeRoom.
  template <typename T>
  const T* Stage(std::span<const T> values) {
    return static_cast<const T*>(StageBytes(values.data(), values.size_bytes()));
  }
  // An operation that stages several arrays asks for their room (StepStaging::RoomFor) first: if too little
  // is left, what has been recorded is handed over now, and not between two of them.
  void MakeRoom(std::size_t room);
  // Room for that many bytes between two calls of Flush, rounded as StepStaging does. It grows where a single
  // operation needs more, and that must not happen while memory is short. RESOURCE_EXHAUSTED with the size.
  Status ReserveStaging(std::size_t bytes);
  std::size_t staging_capacity() const { return staging_.capacity(); }
  // Counts Flush: what was staged under another number is gone.
  std::uint64_t generation() const { return generation_; }

  // Hands over what has been recorded.
  void Flush();
  // Waits for all work. INTERNAL with the device's error.
  Status Synchronize();

  // In order with the commands. Upload returns when `host` may change; Download waits for the data.
  void Upload(void* device, const void* host, std::size_t bytes);
  void Download(void* host, const void* device, std::size_t bytes);
  void Fill(void* device, int byte, std::size_t bytes);
  void Copy(void* target, const void* source, std::size_t bytes);
  // As Download, but `pinned` is pinned memory, and nobody waits: `done` comes behind the copy.
  void StartDownload(void* pinned, const void* device, std::size_t bytes, cudaEvent_t done);
  // Waits for what was handed over before `event`. INTERNAL with the device's error.
  Status WaitFor(cudaEvent_t event);

  // nullptr when the device is out of memory or failed.
  void* Allocate(std::size_t bytes);
  void Free(void* memory);
  // Why Allocate returned nullptr: the device's error, or RESOURCE_EXHAUSTED: "1.5 GiB of weights do not fit:
  // cuda:0 (its name) has 1.0 GiB of 80 GiB free".
  Status OutOfMemory(std::size_t bytes, const std::string& what);

  void Latch(cudaError_t error, const char* during);
  bool failed() const { return error_ != cudaSuccess; }

  int device() const { return device_; }
  int num_multiprocessors() const { return num_multiprocessors_; }
  const std::string& device_name() const { return device_name_; }
  const GraphCache& graphs() const { return graphs_; }

 private:
  Stream(int device, std::size_t graph_bytes) : device_(device), graphs_(graph_bytes) {}
  Status Open();
  cudaError_t GrowStaging(std::size_t bytes);
  const void* StageBytes(const void* values, std::size_t bytes);
  void RunCommands();
  Status status() const;

  const int device_;
  std::string device_name_;
  int num_multiprocessors_ = 1;
  cudaStream_t stream_ = nullptr;
  StepStaging staging_;
  PinnedUploader uploader_;
  CommandList commands_;
  GraphCache graphs_;
  std::uint64_t generation_ = 0;
  cudaError_t error_ = cudaSuccess;
  std::string during_;  // what failed first
};

// Device memory of one operation, reused by its next call; never shrunk. Reserved at start for the largest
// call to come; without that it grows when it is first needed.
class DeviceBuffer {
 public:
  explicit DeviceBuffer(Stream& stream) : stream_(stream) {}
  ~DeviceBuffer() { stream_.Free(memory_); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  // RESOURCE_EXHAUSTED with the size and what is free.
  Status Reserve(std::size_t bytes);
  // At least `bytes`, contents undefined; nullptr when the device is out of memory, which the stream then
  // reports.
  void* Get(std::size_t bytes);

 private:
  Stream& stream_;
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace reprise::cuda
