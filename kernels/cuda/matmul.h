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

  // A weight that may be multiplied with has been packed.
  void Note(const CudaWeight& weight);
  // Takes the memory that products of up to `max_rows` rows with the weights noted so far will need.
  // RESOURCE_EXHAUSTED with the size.
  Status Reserve(int max_rows);

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

  // Of the weights noted: columns of the widest, by who multiplies, and what is expanded at most.
  int most_columns_ = 0;
  int most_float_columns_ = 0;
  std::size_t expanded_bytes_ = 0;
};

}  // namespace reprise::cuda
