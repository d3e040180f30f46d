// Pinned memory on the way to the device.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/cuda/runtime.h"

namespace reprise::cuda {

// The small arrays of one step. They are written to pinned pages and copied to pages of the device at the same
// offsets, in one copy a page; a step almost always fits the first. Sizes are rounded up to powers of two, so
// that arrays that grow a little leave the others' addresses as they are.
class StepStaging {
 public:
  StepStaging() = default;
  ~StepStaging();
  StepStaging(const StepStaging&) = delete;
  StepStaging& operator=(const StepStaging&) = delete;

  // Copies to the pinned side; *device is where the values will be.
  cudaError_t Stage(const void* values, std::size_t bytes, const void** device);
  // Sends everything staged since the last call.
  cudaError_t Send(cudaStream_t stream);

 private:
  struct Page {
    std::byte* host = nullptr;
    std::byte* device = nullptr;
    std::size_t bytes = 0;
    std::size_t used = 0;
  };

  cudaError_t PageWith(std::size_t bytes, Page** page);

  std::vector<Page> pages_;
  cudaEvent_t sent_ = nullptr;  // the copies of the last Send
  bool in_flight_ = false;      // they may still read the pinned pages
};

// Large uploads: pieces through two pinned buffers in turn, one filled while the other is read.
class PinnedUploader {
 public:
  PinnedUploader() = default;
  ~PinnedUploader();
  PinnedUploader(const PinnedUploader&) = delete;
  PinnedUploader& operator=(const PinnedUploader&) = delete;

  // Returns when `host` has been read.
  cudaError_t Upload(void* device, const void* host, std::size_t bytes, cudaStream_t stream);

 private:
  static constexpr std::size_t kPieceBytes = std::size_t{8} << 20;
  struct Piece {
    std::byte* memory = nullptr;
    cudaEvent_t read = nullptr;
    bool in_flight = false;
  };

  cudaError_t Prepare(Piece* piece);

  Piece pieces_[2];
  int next_ = 0;
};

}  // namespace reprise::cuda
