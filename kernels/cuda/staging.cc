#include "kernels/cuda/staging.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace reprise::cuda {
namespace {

constexpr std::size_t kSmallestArray = 256;  // bytes

cudaError_t AllocatePinned(std::byte** memory, std::size_t bytes) {
  void* allocated = nullptr;
  const cudaError_t error = cudaHostAlloc(&allocated, bytes, cudaHostAllocDefault);
  *memory = static_cast<std::byte*>(allocated);
  return error;
}

}  // namespace

std::size_t StepStaging::RoomFor(std::size_t bytes) {
  return std::bit_ceil(std::max(bytes, kSmallestArray));
}

void StepStaging::Release() {
  cudaFreeHost(host_);
  cudaFree(device_);
  if (sent_ != nullptr) cudaEventDestroy(sent_);
}

cudaError_t StepStaging::Resize(std::size_t capacity) {
  StepStaging next;
  if (const cudaError_t error = AllocatePinned(&next.host_, capacity); error != cudaSuccess) return error;
  void* device = nullptr;
  cudaError_t error = cudaMalloc(&device, capacity);
  if (error == cudaSuccess) error = cudaEventCreateWithFlags(&next.sent_, cudaEventDisableTiming);
  next.device_ = static_cast<std::byte*>(device);
  if (error != cudaSuccess) return error;
  std::swap(host_, next.host_);
  std::swap(device_, next.device_);
  std::swap(sent_, next.sent_);
  capacity_ = capacity;
  used_ = 0;
  in_flight_ = false;
  return cudaSuccess;
}

cudaError_t StepStaging::Stage(const void* values, std::size_t bytes, const void** device) {
  if (in_flight_) {
    if (const cudaError_t error = cudaEventSynchronize(sent_); error != cudaSuccess) return error;
    in_flight_ = false;
  }
  const std::size_t room = RoomFor(bytes);
  REPRISE_CHECK(HasRoom(room));
  if (bytes > 0) std::memcpy(host_ + used_, values, bytes);
  // The rest of the room travels too: it should not hold what an older step left.
  std::memset(host_ + used_ + bytes, 0, room - bytes);
  *device = device_ + used_;
  used_ += room;
  return cudaSuccess;
}

cudaError_t StepStaging::Send(cudaStream_t stream) {
  if (used_ == 0) return cudaSuccess;
  const cudaError_t error = cudaMemcpyAsync(device_, host_, used_, cudaMemcpyHostToDevice, stream);
  if (error != cudaSuccess) return error;
  used_ = 0;
  in_flight_ = true;
  return cudaEventRecord(sent_, stream);
}

PinnedUploader::~PinnedUploader() {
  for (const Piece& piece : pieces_) {
    cudaFreeHost(piece.memory);
    if (piece.read != nullptr) cudaEventDestroy(piece.read);
  }
}

cudaError_t PinnedUploader::Reserve() {
  for (Piece& piece : pieces_) {
    cudaError_t error = AllocatePinned(&piece.memory, kPieceBytes);
    if (error == cudaSuccess) error = cudaEventCreateWithFlags(&piece.read, cudaEventDisableTiming);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t PinnedUploader::Upload(void* device, const void* host, std::size_t bytes, cudaStream_t stream) {
  for (std::size_t done = 0; done < bytes; done += kPieceBytes) {
    const std::size_t size = std::min(kPieceBytes, bytes - done);
    Piece& piece = pieces_[next_];
    next_ ^= 1;
    if (std::exchange(piece.in_flight, false)) {
      if (const cudaError_t error = cudaEventSynchronize(piece.read); error != cudaSuccess) return error;
    }
    std::memcpy(piece.memory, static_cast<const std::byte*>(host) + done, size);
    cudaError_t error = cudaMemcpyAsync(static_cast<std::byte*>(device) + done, piece.memory, size,
                                        cudaMemcpyHostToDevice, stream);
    if (error == cudaSuccess) error = cudaEventRecord(piece.read, stream);
    if (error != cudaSuccess) return error;
    piece.in_flight = true;
  }
  return cudaSuccess;
}

}  // namespace reprise::cuda
