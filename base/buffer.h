// Large aligned memory for weights, activations and the KV cache.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/status.h"

namespace reprise {

// Anonymous zero-filled pages aligned to 2 MiB when large (64 bytes otherwise), with huge pages asked for.
// Moves only.
class Buffer {
 public:
  Buffer() = default;
  // RESOURCE_EXHAUSTED, naming the size, when the system has not got it.
  static Result<Buffer> Allocate(std::size_t bytes);

  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  void Release();

  std::byte* data_ = nullptr;  // aligned start
  std::size_t size_ = 0;       // usable bytes
  void* mapping_ = nullptr;    // what munmap gets
  std::size_t mapped_bytes_ = 0;
};

}  // namespace reprise
