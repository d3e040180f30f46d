// Memory for packed weights: few large allocations, so that they get huge pages. Decode streams through all
// weights once a step, and with 4 KiB pages the page walks alone cost tens of per cent.
#pragma once

#include <cstddef>
#include <memory>

#include "base/buffer.h"

namespace reprise {

// A zero-filled range that keeps the allocation it lies in alive.
struct ArenaRange {
  std::byte* data = nullptr;
  std::size_t bytes = 0;
  std::shared_ptr<const Buffer> chunk;
};

// Not thread-safe. A chunk goes back to the system when the last of its ranges is gone.
class WeightArena {
 public:
  // 64-byte aligned. RESOURCE_EXHAUSTED with the size.
  Result<ArenaRange> Allocate(std::size_t bytes);

 private:
  std::shared_ptr<const Buffer> chunk_;  // the one being filled
  std::size_t used_ = 0;
};

}  // namespace reprise
