#include "kernels/cuda/stream.h"

#include <utility>

#include "base/text.h"

namespace reprise::cuda {
namespace {

constexpr std::size_t kSmallestStaging = std::size_t{1} << 20;

}  // namespace

Result<std::unique_ptr<Stream>> Stream::Create(int device, std::size_t graph_bytes) {
  std::unique_ptr<Stream> stream(new Stream(device, graph_bytes));
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
  error = staging_.Resize(kSmallestStaging);
  if (error == cudaSuccess) error = uploader_.Reserve();
  if (error == cudaErrorMemoryAllocation) {
    return ResourceExhausted(name + ": " + properties.name + ": no memory for what goes to the device");
  }
  return error == cudaSuccess ? OkStatus() : FailedPrecondition(name + ": " + cudaGetErrorString(error));
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
  MakeRoom(StepStaging::RoomFor(bytes));
  const void* device = nullptr;
  if (!failed()) Latch(staging_.Stage(values, bytes, &device), "staging of a step's arrays");
  return device;
}

void Stream::MakeRoom(std::size_t room) {
  if (failed() || staging_.HasRoom(room)) return;
  Flush();
  if (!failed() && !staging_.HasRoom(room)) Latch(GrowStaging(room), "staging of a step's arrays");
}

Status Stream::ReserveStaging(std::size_t bytes) {
  if (failed() || bytes <= staging_.capacity()) return status();
  const cudaError_t error = GrowStaging(bytes);
  if (error == cudaErrorMemoryAllocation)
    return OutOfMemory(bytes, "staging memory (pinned, and as much on the device)");
  Latch(error, "an allocation");
  return status();
}

cudaError_t Stream::GrowStaging(std::size_t bytes) {
  Flush();  // what has been recorded may still name the old page
  if (const cudaError_t error = cudaStreamSynchronize(stream_); error != cudaSuccess) return error;
  graphs_.Clear();
  return staging_.Resize(bytes);
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

Status Stream::OutOfMemory(std::size_t bytes, const std::string& what) {
  RETURN_IF_ERROR(Synchronize());
  std::size_t free = 0;
  std::size_t total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) free = total = 0;
  return ResourceExhausted(FormatBytes(bytes) + " of " + what +
                           " do not fit: cuda:" + std::to_string(device_) + " (" + device_name_ + ") has " +
                           FormatBytes(free) + " of " + FormatBytes(total) + " free");
}

void Stream::Free(void* memory) {
  if (memory == nullptr) return;
  Flush();  // what has been recorded may still name it
  if (!failed()) Latch(cudaStreamSynchronize(stream_), "kernels before memory was freed");
  graphs_.Clear();
  cudaFree(memory);
}

Status DeviceBuffer::Reserve(std::size_t bytes) {
  if (bytes <= bytes_) return OkStatus();
  stream_.Free(std::exchange(memory_, nullptr));
  bytes_ = 0;
  memory_ = stream_.Allocate(bytes);
  if (memory_ == nullptr) return stream_.OutOfMemory(bytes, "a step's scratch memory");
  bytes_ = bytes;
  return OkStatus();
}

void* DeviceBuffer::Get(std::size_t bytes) {
  if (!Reserve(bytes).ok()) stream_.Latch(cudaErrorMemoryAllocation, "allocation of a step's scratch memory");
  return memory_;
}

}  // namespace reprise::cuda
