#include "kernels/cuda/staging.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace reprise::cuda {
namespace {

constexpr std::size_t kPageBytes = std::size_t{1} << 20;
constexpr std::size_t kSmallestArray = 256;  // bytes

cudaError_t AllocatePinned(std::byte** memory, std::size_t bytes) {
  void* allocated = nullptr;
  const cudaError_t error = cudaHostAlloc(&allocated, bytes, cudaHostAllocDefault);
  *memory = static_cast<std::byte*>(allocated);
  return error;
}

}  // namespace

StepStaging::~StepStaging() {
  for (const Page& page : pages_) {
    cudaFreeHost(page.host);
    cudaFree(page.device);
  }
  if (sent_ != nullptr) cudaEventDestroy(sent_);
}

cudaError_t StepStaging::PageWith(std::size_t bytes, Page** page) {
  for (Page& candidate : pages_) {
    if (candidate.bytes - candidate.used < bytes) continue;
    *page = &candidate;
    return cudaSuccess;
  }
  Page added;
  added.bytes = std::max(kPageBytes, bytes);
  if (const cudaError_t error = AllocatePinned(&added.host, added.bytes); error != cudaSuccess) return error;
  void* device = nullptr;
  if (const cudaError_t error = cudaMalloc(&device, added.bytes); error != cudaSuccess) {
    cudaFreeHost(added.host);
    return error;
  }
  added.device = static_cast<std::byte*>(device);
  pages_.push_back(added);
  *page = &pages_.back();
  return cudaSuccess;
}

cudaError_t StepStaging::Stage(const void* values, std::size_t bytes, const void** device) {
  if (in_flight_) {
    if (const cudaError_t error = cudaEventSynchronize(sent_); error != cudaSuccess) return error;
    in_flight_ = false;
  }
  const std::size_t room = std::bit_ceil(std::max(bytes, kSmallestArray));
  Page* page = nullptr;
  if (const cudaError_t error = PageWith(room, &page); error != cudaSuccess) return error;
  if (bytes > 0) std::memcpy(page->host + page->used, values, bytes);
  // The rest of the room travels too: it should not hold what an older step left.
  std::memset(page->host + page->used + bytes, 0, room - bytes);
  *device = page->device + page->used;
  page->used += room;
  return cudaSuccess;
}

cudaError_t StepStaging::Send(cudaStream_t stream) {
  bool any = false;
  for (Page& page : pages_) {
    if (page.used == 0) continue;
    const cudaError_t error =
        cudaMemcpyAsync(page.device, page.host, page.used, cudaMemcpyHostToDevice, stream);
    if (error != cudaSuccess) return error;
    page.used = 0;
    any = true;
  }
  if (!any) return cudaSuccess;
  if (sent_ == nullptr) {
    const cudaError_t error = cudaEventCreateWithFlags(&sent_, cudaEventDisableTiming);
    if (error != cudaSuccess) return error;
  }
  in_flight_ = true;
  return cudaEventRecord(sent_, stream);
}

PinnedUploader::~PinnedUploader() {
  for (const Piece& piece : pieces_) {
    cudaFreeHost(piece.memory);
    if (piece.read != nullptr) cudaEventDestroy(piece.read);
  }
}

cudaError_t PinnedUploader::Prepare(Piece* piece) {
  if (piece->in_flight) {
    piece->in_flight = false;
    return cudaEventSynchronize(piece->read);
  }
  if (piece->memory != nullptr) return cudaSuccess;
  if (const cudaError_t error = AllocatePinned(&piece->memory, kPieceBytes); error != cudaSuccess)
    return error;
  return cudaEventCreateWithFlags(&piece->read, cudaEventDisableTiming);
}

cudaError_t PinnedUploader::Upload(void* device, const void* host, std::size_t bytes, cudaStream_t stream) {
  for (std::size_t done = 0; done < bytes; done += kPieceBytes) {
    const std::size_t size = std::min(kPieceBytes, bytes - done);
    Piece& piece = pieces_[next_];
    next_ ^= 1;
    if (const cudaError_t error = Prepare(&piece); error != cudaSuccess) return error;
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
