// The CUDA backend that these tests were linked with: over the emulated runtime, or on device 0.
#pragma once

#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace reprise::test {

// With `draw_tokens` false the host draws tokens.
std::unique_ptr<Backend> MakeCudaLeg(bool draw_tokens = true);

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

// Token ids in the backend's memory.
class DeviceTokens {
 public:
  DeviceTokens(Backend* backend, const std::vector<TokenId>& tokens);

  TokenId* data() const { return static_cast<TokenId*>(memory_->data()); }
  std::vector<TokenId> Read() const;

 private:
  Backend& backend_;
  std::unique_ptr<DeviceMemory> memory_;
};

}  // namespace reprise::test
