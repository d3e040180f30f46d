// The Backend's MatMul: which kernels multiply, and their scratch memory.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/cuda_weight.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/prologue.h"
#include "kernels/cuda/stream.h"

namespace reprise::cuda {

class CudaMatMul {
 public:
  explicit CudaMatMul(Stream& stream);

  void Run(const MatMulArgs& args);

 private:
  // One product of all of a weight's parts; `out` and `bias` begin at the weight's first row.
  void Multiply(const ProductInput& input, const CudaWeight& weight, const ProductOutput& out);
  void MultiplyFewRows(const ProductInput& input, std::span<const CudaWeight::Part> parts,
                       const ProductOutput& out, int first_row, int rows);
  // Removes the parts it has multiplied.
  void MultiplyManyRows(const ProductInput& input, const ProductOutput& out,
                        std::vector<CudaWeight::Part>* parts);
  void MultiplyFloatParts(const ProductInput& input, const CudaWeight& weight, const ProductOutput& out);

  Stream& stream_;
  std::unique_ptr<Gemm> gemm_;  // nullptr: there is none
  DeviceBuffer fragment_values_, fragment_sums_;
  DeviceBuffer float_rows_, bf16_rows_;
  DeviceBuffer expanded_;  // a quantised weight as bf16
};

}  // namespace reprise::cuda
