// The memory of the paged KV cache: for each layer one array of keys and one of values, behind shared block
// ids.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"

namespace reprise {

class KvCache {
 public:
  // Bytes of one block across all layers, keys and values.
  static std::size_t BlockBytes(std::span<const KvGeometry> layers);

  // One geometry per layer, all with the same number of blocks and block size, set by the caller.
  // RESOURCE_EXHAUSTED with the size. With `poison`, filled with NaN.
  static Result<KvCache> Allocate(Backend& backend, std::span<const KvGeometry> layers, bool poison);

  std::span<const KvLayer> layers() const { return layers_; }
  std::size_t bytes() const { return memory_->bytes(); }

 private:
  std::unique_ptr<DeviceMemory> memory_;
  std::vector<KvLayer> layers_;
};

}  // namespace reprise
