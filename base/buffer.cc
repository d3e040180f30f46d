#include "base/buffer.h"

#include <sys/mman.h>

#include <cstdint>
#include <string>
#include <utility>

namespace reprise {
namespace {
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kPage = 4096;
}  // namespace

Result<Buffer> Buffer::Allocate(std::size_t bytes) {
  Buffer buffer;
  if (bytes == 0) return buffer;
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : kPage;
  if (bytes > SIZE_MAX - 2 * kHugePage)
    return ResourceExhausted("cannot allocate " + std::to_string(bytes) + " bytes");
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  const std::size_t mapped = rounded + (alignment == kHugePage ? kHugePage : 0);
  void* mapping = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED)
    return ResourceExhausted("cannot allocate " + std::to_string(bytes) + " bytes of memory");
  const auto address = reinterpret_cast<std::uintptr_t>(mapping);
  buffer.data_ = reinterpret_cast<std::byte*>((address + alignment - 1) / alignment * alignment);
  buffer.size_ = bytes;
  buffer.mapping_ = mapping;
  buffer.mapped_bytes_ = mapped;
  // Decode streams through the weights: with 4 KiB pages the page walks alone cost tens of per cent.
  if (alignment == kHugePage) madvise(buffer.data_, rounded, MADV_HUGEPAGE);
  return buffer;
}

Buffer::Buffer(Buffer&& other) noexcept {
  *this = std::move(other);
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  Release();
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  mapping_ = std::exchange(other.mapping_, nullptr);
  mapped_bytes_ = std::exchange(other.mapped_bytes_, 0);
  return *this;
}

Buffer::~Buffer() {
  Release();
}

void Buffer::Release() {
  if (mapping_ != nullptr) munmap(mapping_, mapped_bytes_);
  mapping_ = nullptr;
}

}  // namespace reprise
