// The CUDA backend, or the same code over the emulated runtime, whichever it was compiled for. The program
// reaches it through MakeCudaBackend (kernels/backend.h).
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace reprise::cuda {

// What tests want to know beyond the Backend.
struct GraphCounts {
  std::int64_t captured = 0;
  std::int64_t replayed = 0;
  std::size_t bytes = 0;  // of device memory that they hold
};

// `num_threads` of the host, for packing and sampling; 0: one per core.
Result<std::unique_ptr<Backend>> MakeBackend(const CudaBackendOptions& options);
// Of a backend made by MakeBackend.
GraphCounts GraphCountsOf(const Backend& backend);

// What the device's memory gives: bytes read plus bytes written per second by copies of `bytes` within it.
// Of a backend made by MakeBackend.
Result<double> CopyBandwidth(Backend& backend, std::size_t bytes);

}  // namespace reprise::cuda
