// Results of a step on their way to pinned memory, while the next step is started.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/backend.h"
#include "kernels/cuda/stream.h"

namespace reprise::cuda {

class PinnedReadback final : public Readback {
 public:
  // The stream outlives it.
  static Result<std::unique_ptr<Readback>> Create(Stream& stream, std::size_t bytes);
  ~PinnedReadback() override;
  PinnedReadback(const PinnedReadback&) = delete;
  PinnedReadback& operator=(const PinnedReadback&) = delete;

  void Start(const void* source, std::size_t bytes) override;
  Status Wait() override { return stream_.WaitFor(done_); }
  const std::byte* data() const override { return static_cast<const std::byte*>(memory_); }

 private:
  PinnedReadback(Stream& stream, std::size_t bytes) : stream_(stream), bytes_(bytes) {}

  Stream& stream_;
  const std::size_t bytes_;
  void* memory_ = nullptr;
  cudaEvent_t done_ = nullptr;
};

}  // namespace reprise::cuda
