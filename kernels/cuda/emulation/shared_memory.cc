#include "kernels/cuda/emulation/shared_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace reprise::cuda_emulation {
namespace {

constexpr std::size_t kCanaryBytes = 64;  // before and after each array
constexpr std::size_t kDynamicOffset = 128;
constexpr std::size_t kStaticOffset = 256 << 10;  // of the first static array
constexpr int kPoison = 0xff;                     // NaN in every floating-point format

// Closes [begin, begin + bytes) to the program, or opens it.
void Close([[maybe_unused]] char* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(begin, bytes);
#endif
}
void Open([[maybe_unused]] char* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(begin, bytes);
#endif
}

// Fills an array and its canaries.
void Poison(char* memory, std::size_t bytes) {
  Open(memory - kCanaryBytes, bytes + 2 * kCanaryBytes);
  std::memset(memory - kCanaryBytes, kPoison, bytes + 2 * kCanaryBytes);
  Close(memory - kCanaryBytes, kCanaryBytes);
  Close(memory + bytes, kCanaryBytes);
}

#if defined(__SANITIZE_ADDRESS__)
// It sees such writes itself, where they happen.
bool CanariesIntact(const char*, std::size_t) {
  return true;
}
#else
bool CanariesIntact(const char* memory, std::size_t bytes) {
  const auto poisoned = [](const char* begin) {
    return std::all_of(begin, begin + kCanaryBytes, [](char c) { return c == static_cast<char>(kPoison); });
  };
  return poisoned(memory - kCanaryBytes) && poisoned(memory + bytes);
}
#endif

}  // namespace

std::string ToString(SourceLine at) {
  if (at.file == nullptr) return "?";
  const char* slash = std::strrchr(at.file, '/');
  return std::string(slash != nullptr ? slash + 1 : at.file) + ":" + std::to_string(at.line);
}

void SharedArena::BeginGrid(std::size_t dynamic_bytes) {
  if (arena_ == nullptr) {
    void* memory = mmap(nullptr, kSharedArenaBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REPRISE_CHECK(memory != MAP_FAILED);
    arena_ = static_cast<char*>(memory);
    used_ = kStaticOffset;
  }
  dynamic_ = arena_ + kDynamicOffset;
  dynamic_bytes_ = dynamic_bytes;
}

void SharedArena::BeginBlock(std::uint64_t serial) {
  serial_ = serial;
  touched_.clear();
  Poison(dynamic_, dynamic_bytes_);
}

std::string SharedArena::DamagedCanary() const {
  if (!CanariesIntact(dynamic_, dynamic_bytes_)) return "write past dynamic shared memory";
  for (const SharedArray* array : touched_) {
    if (!CanariesIntact(array->memory, array->bytes))
      return std::string("write past shared array '") + array->name + "' of " + ToString(array->at);
  }
  return "";
}

void* SharedArena::Array(SharedArray** array, std::size_t bytes, std::size_t alignment, const char* name,
                         SourceLine at) {
  if (*array == nullptr) {
    const std::size_t align = std::max<std::size_t>(alignment, 16);
    const std::size_t offset = (used_ + kCanaryBytes + align - 1) / align * align;
    REPRISE_CHECK(offset + bytes + kCanaryBytes <= kSharedArenaBytes);
    *array = new SharedArray{arena_ + offset, bytes, name, at};  // as long-lived as the declaration it is for
    used_ = offset + bytes + kCanaryBytes;
  }
  if ((*array)->block != serial_) {
    (*array)->block = serial_;
    touched_.push_back(*array);
    Poison((*array)->memory, bytes);
  }
  return (*array)->memory;
}

SharedRange SharedArena::Classify(const void* address, std::size_t bytes) const {
  const char* p = static_cast<const char*>(address);
  if (p < arena_ || p >= arena_ + kSharedArenaBytes) return SharedRange::kNotShared;
  if (p >= dynamic_ && p + bytes <= dynamic_ + dynamic_bytes_) return SharedRange::kInside;
  const bool inside = std::any_of(touched_.begin(), touched_.end(), [&](const SharedArray* array) {
    return p >= array->memory && p + bytes <= array->memory + array->bytes;
  });
  return inside ? SharedRange::kInside : SharedRange::kOutside;
}

}  // namespace reprise::cuda_emulation
