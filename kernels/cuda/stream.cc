#include "kernels/cuda/stream.h"

#include <utility>

namespace reprise::cuda {

Result<std::unique_ptr<Stream>> Stream::Create(int device) {
  std::unique_ptr<Stream> stream(new Stream(device));
  RETURN_IF_ERROR(stream->Open());
  return stream;
}

Status Stream::Open() {
  const std::string name = "cuda:" + std::to_string(device_);
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess || count == 0) {
    return FailedPrecondition(name + ": no CUDA device can be used: " +
                              (error != cudaSuccess ? cudaGetErrorString(error) : "there is none"));
  }
  if (device_ < 0 || device_ >= count) {
    return FailedPrecondition(name + ": there is no such device; this machine has cuda:0" +
                              (count > 1 ? " to cuda:" + std::to_string(count - 1) : ""));
  }
  cudaDeviceProp properties;
  cudaError_t error = cudaSetDevice(device_);
  if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, device_);
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
  if (error != cudaSuccess) return FailedPrecondition(name + ": " + cudaGetErrorString(error));
  if (properties.major < 8) {
    return FailedPrecondition(name + ": " + properties.name + " has compute capability " +
                              std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                              "; 8.0 or later is needed");
  }
  device_name_ = properties.name;
  num_multiprocessors_ = properties.multiProcessorCount;
  return OkStatus();
}

Stream::~Stream() {
  if (stream_ == nullptr) return;
  cudaStreamSynchronize(stream_);
  graphs_.Clear();
  cudaStreamDestroy(stream_);
}

void Stream::Latch(cudaError_t error, const char* during) {
  if (error == cudaSuccess || failed()) return;
  error_ = error;
  during_ = during;
}

void Stream::Record(CommandFunction run, const void* command, std::size_t bytes) {
  if (!failed()) commands_.Append(run, command, bytes);
}

const void* Stream::StageBytes(const void* values, std::size_t bytes) {
  const void* device = nullptr;
  if (!failed()) Latch(staging_.Stage(values, bytes, &device), "staging of a step's arrays");
  return device;
}

void Stream::Flush() {
  ++generation_;
  if (!failed()) {
    Latch(staging_.Send(stream_), "copy of a step's arrays");
    RunCommands();
  }
  commands_.clear();
}

void Stream::RunCommands() {
  if (failed() || commands_.empty()) return;
  Latch(graphs_.Run(commands_, stream_), "start of a step's kernels");
}

Status Stream::Synchronize() {
  Flush();
  if (!failed()) Latch(cudaStreamSynchronize(stream_), "a step's kernels");
  return status();
}

Status Stream::WaitFor(cudaEvent_t event) {
  if (!failed()) Latch(cudaEventSynchronize(event), "a step's kernels");
  return status();
}

Status Stream::status() const {
  if (!failed()) return OkStatus();
  return Internal("cuda:" + std::to_string(device_) + " (" + device_name_ +
                  "): " + cudaGetErrorString(error_) + ", during " + during_);
}

void Stream::Upload(void* device, const void* host, std::size_t bytes) {
  Flush();
  if (!failed()) Latch(uploader_.Upload(device, host, bytes, stream_), "an upload");
}

void Stream::Download(void* host, const void* device, std::size_t bytes) {
  Flush();
  if (failed()) return;
  Latch(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_), "a download");
  if (!failed()) Latch(cudaStreamSynchronize(stream_), "a download or the kernels before it");
}

void Stream::StartDownload(void* pinned, const void* device, std::size_t bytes, cudaEvent_t done) {
  Flush();
  if (!failed() && bytes > 0)
    Latch(cudaMemcpyAsync(pinned, device, bytes, cudaMemcpyDeviceToHost, stream_), "a step's results");
  if (!failed()) Latch(cudaEventRecord(done, stream_), "a step's results");
}

void Stream::Fill(void* device, int byte, std::size_t bytes) {
  Flush();
  if (!failed()) Latch(cudaMemsetAsync(device, byte, bytes, stream_), "filling memory");
}

void Stream::Copy(void* target, const void* source, std::size_t bytes) {
  Flush();
  if (!failed()) Latch(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToDevice, stream_), "a copy");
}

void* Stream::Allocate(std::size_t bytes) {
  if (failed()) return nullptr;
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaSuccess) return memory;
  // Running out of memory is the caller's to report, and no reason to give the device up.
  if (error != cudaErrorMemoryAllocation) Latch(error, "an allocation");
  return nullptr;
}

void Stream::Free(void* memory) {
  if (memory == nullptr) return;
  Flush();  // what has been recorded may still name it
  if (!failed()) Latch(cudaStreamSynchronize(stream_), "kernels before memory was freed");
  graphs_.Clear();
  cudaFree(memory);
}

void* DeviceBuffer::Reserve(std::size_t bytes) {
  if (bytes <= bytes_) return memory_;
  stream_.Free(std::exchange(memory_, nullptr));
  // Half as much again: a buffer that grows with the context should not grow at every step.
  bytes_ = bytes + bytes / 2;
  memory_ = stream_.Allocate(bytes_);
  if (memory_ == nullptr) {
    bytes_ = 0;
    stream_.Latch(cudaErrorMemoryAllocation, "allocation of a step's scratch memory");
  }
  return memory_;
}

}  // namespace reprise::cuda
