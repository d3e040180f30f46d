#include "kernels/cuda/gemm.h"

namespace reprise::cuda {

std::unique_ptr<Gemm> Gemm::Create(Stream&) {
  return nullptr;
}

}  // namespace reprise::cuda
