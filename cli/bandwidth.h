// What plain reading of memory gives on this machine right now: the roofline that decode speed is set beside.
#pragma once

#include <cstddef>

#include "base/status.h"
#include "kernels/backend.h"

namespace reprise {

// Reads `bytes` of memory (more than any cache holds is best) with all of a backend's host threads.
class BandwidthReader {
 public:
  static Result<BandwidthReader> Create(Backend& backend, std::size_t bytes);

  // Bytes per second of one pass.
  double Measure();

 private:
  BandwidthReader(Backend& backend, std::unique_ptr<DeviceMemory> memory)
      : backend_(&backend), memory_(std::move(memory)) {}

  Backend* backend_;
  std::unique_ptr<DeviceMemory> memory_;
};

}  // namespace reprise
