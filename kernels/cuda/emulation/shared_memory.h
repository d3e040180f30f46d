// The shared memory of the running block: one arena for the process, in which every SHARED_ARRAY has its
// place. A block finds its arrays filled with NaN between canaries (under AddressSanitizer: red zones).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/emulation/block.h"

namespace reprise::cuda_emulation {

class SharedArena {
 public:
  void BeginGrid(std::size_t dynamic_bytes);
  void BeginBlock(std::uint64_t serial);
  // "" or which array has been written past.
  std::string DamagedCanary() const;

  void* Array(SharedArray** array, std::size_t bytes, std::size_t alignment, const char* name, SourceLine at);
  void* dynamic() const { return dynamic_; }
  SharedRange Classify(const void* address, std::size_t bytes) const;
  std::size_t Offset(const void* address) const { return static_cast<const char*>(address) - arena_; }

 private:
  char* arena_ = nullptr;
  std::size_t used_ = 0;
  char* dynamic_ = nullptr;
  std::size_t dynamic_bytes_ = 0;
  std::uint64_t serial_ = 0;
  std::vector<SharedArray*> touched_;  // by this block
};

// "kernel.cu:12", without the folders.
std::string ToString(SourceLine at);

}  // namespace reprise::cuda_emulation
