// DeviceMemory of the backends that compute on the host.
#pragma once

#include <memory>
#include <utility>

#include "base/buffer.h"
#include "kernels/backend.h"

namespace reprise {

class HostMemory final : public DeviceMemory {
 public:
  // RESOURCE_EXHAUSTED with the size.
  static Result<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) {
    ASSIGN_OR_RETURN(Buffer buffer, Buffer::Allocate(bytes));
    return std::unique_ptr<DeviceMemory>(new HostMemory(std::move(buffer)));
  }
  void* data() const override { return buffer_.data(); }
  std::size_t bytes() const override { return buffer_.size(); }

 private:
  explicit HostMemory(Buffer buffer) : buffer_(std::move(buffer)) {}
  Buffer buffer_;
};

}  // namespace reprise
