#include "kernels/cuda/readback.h"

#include "base/check.h"
#include "base/text.h"

namespace reprise::cuda {

Result<std::unique_ptr<Readback>> PinnedReadback::Create(Stream& stream, std::size_t bytes) {
  std::unique_ptr<PinnedReadback> readback(new PinnedReadback(stream, bytes));
  if (cudaHostAlloc(&readback->memory_, bytes, cudaHostAllocDefault) != cudaSuccess ||
      cudaEventCreateWithFlags(&readback->done_, cudaEventDisableTiming) != cudaSuccess) {
    return ResourceExhausted(FormatBytes(bytes) + " of pinned memory for the results of a step");
  }
  return std::unique_ptr<Readback>(std::move(readback));
}

PinnedReadback::~PinnedReadback() {
  if (done_ != nullptr) cudaEventDestroy(done_);
  cudaFreeHost(memory_);
}

void PinnedReadback::Start(const void* source, std::size_t bytes) {
  REPRISE_CHECK(bytes <= bytes_);
  stream_.StartDownload(memory_, source, bytes, done_);
}

}  // namespace reprise::cuda
