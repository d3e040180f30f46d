// Products of many rows, where arithmetic is what takes time: cuBLASLt, bf16 in and float out. Where there is
// none (emulation), the kernel for few rows does all the work.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/cuda/few_rows_matmul.h"
#include "kernels/cuda/stream.h"

namespace reprise::cuda {

// A matrix of bf16 in device memory, row-major; `columns` is a multiple of 8. Part of commands: no padding.
struct Bf16Matrix {
  const std::uint16_t* data = nullptr;
  std::int64_t stride = 0;
  int rows = 0;
  int columns = 0;
};

class Gemm {
 public:
  // nullptr when there is no cuBLASLt.
  static std::unique_ptr<Gemm> Create(Stream& stream);
  virtual ~Gemm() = default;

  // Takes the memory that all products need. RESOURCE_EXHAUSTED with the size.
  virtual Status Reserve() = 0;
  // out (+)= x weight^T + bias. False, and nothing done, when the library has no algorithm for that.
  virtual bool Multiply(const Bf16Matrix& x, const Bf16Matrix& weight, const ProductOutput& out) = 0;
};

}  // namespace reprise::cuda
