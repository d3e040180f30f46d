// Weights of the CUDA backend: the stacked matrices one behind the other in device memory, each in the packed
// form of its type (packed_weight.h).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/cuda/packed_weight.h"
#include "kernels/cuda/stream.h"

namespace reprise::cuda {

class CudaWeight final : public Weight {
 public:
  struct Part {
    PackedWeight packed;
    int first_row;  // in the stacked matrix
  };

  // The sources have passed CheckWeightSources. Packs on the host's threads and streams the result to the
  // device. RESOURCE_EXHAUSTED with the size and what is free.
  static Result<std::unique_ptr<CudaWeight>> Pack(std::span<const WeightSource> sources, Stream& stream,
                                                  ThreadPool& threads);
  ~CudaWeight() override { stream_.Free(memory_); }

  std::size_t bytes() const override { return bytes_; }
  std::string_view form() const override { return form_; }
  std::span<const Part> parts() const { return parts_; }

 private:
  CudaWeight(std::span<const WeightSource> sources, Stream& stream);

  Stream& stream_;
  std::vector<Part> parts_;  // ascending first_row
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
  std::string form_;  // "q4+bf16"
};

}  // namespace reprise::cuda
