// Pinned memory on the way to the device.
#pragma once

#include <cstddef>

#include "kernels/cuda/runtime.h"

namespace reprise::cuda {

// The small arrays of one step. They are written to a pinned page and copied to a page of the device at the
// same offsets, in one copy. Sizes are rounded up to powers of two, so that arrays that grow a little leave
// the others' addresses as they are.
class StepStaging {
 public:
  StepStaging() = default;
  ~StepStaging() { Release(); }
  StepStaging(const StepStaging&) = delete;
  StepStaging& operator=(const StepStaging&) = delete;

  // Of the page's bytes, those that an array of that size takes.
  static std::size_t RoomFor(std::size_t bytes);

  // A page of that size in the place of the one there was, which nobody may use any more; without memory for
  // both of them that one stays. What has been staged is gone.
  cudaError_t Resize(std::size_t capacity);
  std::size_t capacity() const { return capacity_; }
  bool HasRoom(std::size_t room) const { return room <= capacity_ - used_; }

  // Copies to the pinned side, where there is room; *device is where the values will be.
  cudaError_t Stage(const void* values, std::size_t bytes, const void** device);
  // Sends everything staged since the last call.
  cudaError_t Send(cudaStream_t stream);

 private:
  void Release();

  std::byte* host_ = nullptr;
  std::byte* device_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  cudaEvent_t sent_ = nullptr;  // the copy of the last Send
  bool in_flight_ = false;      // it may still read the pinned page
};

// Large uploads: pieces through two pinned buffers in turn, one filled while the other is read.
class PinnedUploader {
 public:
  PinnedUploader() = default;
  ~PinnedUploader();
  PinnedUploader(const PinnedUploader&) = delete;
  PinnedUploader& operator=(const PinnedUploader&) = delete;

  // Takes the two buffers; before the first Upload.
  cudaError_t Reserve();
  // Returns when `host` has been read.
  cudaError_t Upload(void* device, const void* host, std::size_t bytes, cudaStream_t stream);

 private:
  static constexpr std::size_t kPieceBytes = std::size_t{8} << 20;
  struct Piece {
    std::byte* memory = nullptr;
    cudaEvent_t read = nullptr;
    bool in_flight = false;
  };

  Piece pieces_[2];
  int next_ = 0;
};

}  // namespace reprise::cuda
