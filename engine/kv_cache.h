// The memory of the paged KV cache: for each layer one array of keys and one of values, behind shared block
// ids; and where a recycle module reads them, the target's hidden states, a row a slot.
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
  // Bytes of one block across all layers, keys and values, and of hidden states of that width.
  static std::size_t BlockBytes(std::span<const KvGeometry> layers, int hidden_size = 0);

  // Bytes of the whole cache. The blocks' number is the geometries'.
  static std::size_t Bytes(std::span<const KvGeometry> layers, int hidden_size = 0);

  // One geometry per layer, all with the same number of blocks and block size, set by the caller. Hidden
  // states are kept if they have a width. RESOURCE_EXHAUSTED with the size. With `poison`, filled with NaN.
  static Result<KvCache> Allocate(Backend& backend, std::span<const KvGeometry> layers, bool poison,
                                  int hidden_size = 0);

  std::span<const KvLayer> layers() const { return layers_; }
  // [slots + 1, hidden_size], device: row `slot` belongs to the token in that slot, and the last row is the
  // zeros that stand before a sequence's first token. No rows where none are kept.
  MatrixView hidden_states() const { return hidden_states_; }
  std::size_t bytes() const { return memory_->bytes(); }

 private:
  std::unique_ptr<DeviceMemory> memory_;
  std::vector<KvLayer> layers_;
  MatrixView hidden_states_;
};

}  // namespace reprise
