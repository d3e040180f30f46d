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

// What the cache holds before anything is stored.
enum class KvFill {
  kUntouched,  // whatever the device gives; host memory takes room as it is used
  kZero,       // all of its memory is taken at once, so that no step waits while the system clears pages
  kNaN,        // tests: a read of a slot that was never written shows
};

class KvCache {
 public:
  // Bytes of one block across all layers, keys and values.
  static std::size_t BlockBytes(const KvGeometry& geometry, int num_layers) {
    return 2 * geometry.block_bytes() * static_cast<std::size_t>(num_layers);
  }

  // geometry.num_blocks is set by the caller. RESOURCE_EXHAUSTED with the size.
  static Result<KvCache> Allocate(Backend& backend, const KvGeometry& geometry, int num_layers, KvFill fill);

  std::span<const KvLayer> layers() const { return layers_; }
  std::size_t bytes() const { return memory_->bytes(); }

 private:
  std::unique_ptr<DeviceMemory> memory_;
  std::vector<KvLayer> layers_;
};

}  // namespace reprise
