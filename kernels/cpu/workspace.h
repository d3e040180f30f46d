// Scratch memory that grows to the largest step seen and then stays: steady state allocates nothing.
#pragma once

#include <cstddef>
#include <utility>

#include "base/buffer.h"

namespace reprise {

class Workspace {
 public:
  // Makes data() hold at least `bytes`; the contents may be lost. RESOURCE_EXHAUSTED with the size.
  Status Reserve(std::size_t bytes) {
    if (bytes <= buffer_.size()) return OkStatus();
    ASSIGN_OR_RETURN(buffer_, Buffer::Allocate(bytes + bytes / 4));
    return OkStatus();
  }
  std::byte* data() const { return buffer_.data(); }

 private:
  Buffer buffer_;
};

}  // namespace reprise
