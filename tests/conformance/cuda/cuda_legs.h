// The CUDA backend that these tests were linked with: over the emulated runtime, or on device 0.
#pragma once

#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace reprise::test {

std::unique_ptr<Backend> MakeCudaLeg();

// A matrix in the backend's memory.
class DeviceRows {
 public:
  DeviceRows(Backend* backend, const std::vector<float>& values, int rows, int columns);

  operator ConstMatrixView() const { return view(); }
  MatrixView view() const { return {static_cast<float*>(memory_->data()), rows_, columns_, columns_}; }
  const float* data() const { return static_cast<const float*>(memory_->data()); }
  std::vector<float> Read() const;

 private:
  Backend& backend_;
  std::unique_ptr<DeviceMemory> memory_;
  int rows_;
  int columns_;
};

}  // namespace reprise::test
