// Sees every memory access of kernels that were compiled with -fsanitize=thread and linked without its
// runtime: the compiler calls __tsan_read4 and its like before each access, and this file defines them. It
// reports
//   - races in shared memory: no barrier or __syncwarp between two threads' accesses, one of them a write
//   - reads of shared memory that this block has not written, and accesses outside every shared array
//   - accesses outside every device allocation (host pointers, wild addresses, overruns), and misaligned ones
// A shuffle is not taken to order memory. Not seen: races between blocks in global memory.

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <string>

#include "base/check.h"
#include "kernels/cuda/emulation/block.h"
#include "kernels/cuda/emulation/runtime_api.h"

extern "C" char __executable_start;  // the linker's
extern "C" char end;

namespace reprise::cuda_emulation {
namespace {

// What is known of one byte of shared memory.
struct Byte {
  std::uint64_t block = 0;  // that the rest speaks of
  std::uint32_t write_epoch = 0, read_epoch = 0;
  std::uint32_t write_sync = 0, read_sync = 0;  // the thread's warp_syncs at that time
  std::uint16_t writer = 0, reader = 0;
  bool written = false;
  enum : std::uint8_t { kNobody, kOneThread, kOneWarp, kManyWarps } readers = kNobody;
};

Byte* ShadowOf(std::size_t offset) {
  static Byte* const shadow = [] {
    void* memory = mmap(nullptr, sizeof(Byte) * kSharedArenaBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REPRISE_CHECK(memory != MAP_FAILED);
    return static_cast<Byte*>(memory);
  }();
  return shadow + offset;
}

std::string At(const void* instruction) {
  char text[64];
  std::snprintf(text, sizeof(text), " (addr2line -Cfe PROGRAM %#zx)",
                static_cast<std::size_t>(static_cast<const char*>(instruction) - 1 - &__executable_start));
  return text;
}

class ByteCheck {
 public:
  ByteCheck(const BlockView& view, const void* instruction) : view_(view), instruction_(instruction) {}

  void Read(Byte& byte) const {
    if (!byte.written) Fail("read of shared memory that was not written" + At(instruction_));
    if (!Ordered(byte.write_epoch, byte.writer, byte.write_sync)) Race("read", "write", byte.writer);
    const Thread& self = *view_.thread;
    if (byte.readers == Byte::kNobody || byte.read_epoch != view_.epoch) {
      byte.readers = Byte::kOneThread;
    } else if (byte.reader != self.linear) {
      const bool same_warp = byte.reader / kWarpLanes == self.warp && byte.readers != Byte::kManyWarps;
      byte.readers = same_warp ? Byte::kOneWarp : Byte::kManyWarps;
    }
    byte.reader = static_cast<std::uint16_t>(self.linear);
    byte.read_epoch = view_.epoch;
    byte.read_sync = self.warp_syncs;
  }

  void Write(Byte& byte) const {
    if (byte.written && !Ordered(byte.write_epoch, byte.writer, byte.write_sync))
      Race("write", "write", byte.writer);
    if (byte.readers != Byte::kNobody && !OrderedAfterReads(byte)) Race("write", "read", byte.reader);
    const Thread& self = *view_.thread;
    byte.written = true;
    byte.writer = static_cast<std::uint16_t>(self.linear);
    byte.write_epoch = view_.epoch;
    byte.write_sync = self.warp_syncs;
    byte.readers = Byte::kNobody;
  }

 private:
  // Whether what thread `other` did at (epoch, sync) comes before this thread's next instruction.
  bool Ordered(std::uint32_t epoch, unsigned other, std::uint32_t sync) const {
    const Thread& self = *view_.thread;
    return epoch != view_.epoch || other == self.linear ||
           (other / kWarpLanes == self.warp && sync != self.warp_syncs);
  }
  bool OrderedAfterReads(const Byte& byte) const {
    if (byte.read_epoch != view_.epoch) return true;
    const Thread& self = *view_.thread;
    const bool synced_warp = byte.reader / kWarpLanes == self.warp && byte.read_sync != self.warp_syncs;
    if (byte.readers == Byte::kManyWarps) return false;
    if (byte.readers == Byte::kOneWarp) return synced_warp;
    return byte.reader == self.linear || synced_warp;
  }
  [[noreturn]] void Race(const char* what, const char* after, unsigned other) const {
    Fail(std::string("shared-memory race: ") + what + " after an unsynchronised " + after + " by thread " +
         std::to_string(other) + At(instruction_));
  }

  const BlockView& view_;
  const void* instruction_;
};

void CheckShared(const BlockView& view, const void* address, std::size_t bytes, Access access,
                 const void* instruction) {
  const ByteCheck check(view, instruction);
  Byte* shadow = ShadowOf(SharedOffset(address));
  for (Byte* byte = shadow; byte < shadow + bytes; ++byte) {
    if (byte->block != view.block) *byte = {.block = view.block};
    switch (access) {
      case Access::kRead:
        check.Read(*byte);
        break;
      case Access::kWrite:
        check.Write(*byte);
        break;
      case Access::kBecomesUndefined:
        byte->written = false;
        break;
    }
  }
}

bool IsInProgram(const void* address) {
  const char* p = static_cast<const char*>(address);
  return p >= &__executable_start && p < &end;  // constants and the emulator's own variables
}

void Check(const void* address, std::size_t bytes, Access access, const void* instruction) {
  const BlockView view = RunningBlock();
  if (view.thread == nullptr || view.thread->context.OwnsAddress(address)) return;
  const EmulatorAtWork no_recursion;
  switch (ClassifyShared(address, bytes)) {
    case SharedRange::kInside:
      return CheckShared(view, address, bytes, access, instruction);
    case SharedRange::kOutside:
      Fail("access outside every shared array of this block" + At(instruction));
    case SharedRange::kNotShared:
      break;
  }
  const char* parameters = static_cast<const char*>(view.parameters);
  const char* p = static_cast<const char*>(address);
  if (p >= parameters && p + bytes <= parameters + view.parameter_bytes) return;
  if (IsDeviceRange(address, bytes) || IsInProgram(address)) return;
  char text[32];
  std::snprintf(text, sizeof(text), "%p", address);
  Fail("access outside every device allocation, to " + std::string(text) + At(instruction));
}

void CheckAligned(const void* address, std::size_t bytes, Access access, const void* instruction) {
  // On its own stack a thread's variables lie as the host's compiler likes.
  const Thread* thread = RunningBlock().thread;
  if (thread != nullptr && reinterpret_cast<std::uintptr_t>(address) % bytes != 0 &&
      !thread->context.OwnsAddress(address))
    Fail("misaligned access of " + std::to_string(bytes) + " bytes" + At(instruction));
  Check(address, bytes, access, instruction);
}

[[gnu::constructor]] void Install() {
  check_access = [](const void* address, std::size_t bytes, Access access) {
    Check(address, bytes, access, __builtin_return_address(0));
  };
}

}  // namespace
}  // namespace reprise::cuda_emulation

// The compiler's calls; names and signatures are those of compiler-rt's tsan_interface.h.
extern "C" {
#define REPRISE_ACCESS(prefix, bytes, check)                                                              \
  void __tsan_##prefix##read##bytes(void* address) {                                                      \
    reprise::cuda_emulation::check(address, bytes, reprise::cuda_emulation::Access::kRead,                \
                                   __builtin_return_address(0));                                          \
  }                                                                                                       \
  void __tsan_##prefix##write##bytes(void* address) {                                                     \
    reprise::cuda_emulation::check(address, bytes, reprise::cuda_emulation::Access::kWrite,               \
                                   __builtin_return_address(0));                                          \
  }
REPRISE_ACCESS(, 1, CheckAligned)
REPRISE_ACCESS(, 2, CheckAligned)
REPRISE_ACCESS(, 4, CheckAligned)
REPRISE_ACCESS(, 8, CheckAligned)
REPRISE_ACCESS(, 16, CheckAligned)
REPRISE_ACCESS(unaligned_, 2, Check)
REPRISE_ACCESS(unaligned_, 4, Check)
REPRISE_ACCESS(unaligned_, 8, Check)
REPRISE_ACCESS(unaligned_, 16, Check)
#undef REPRISE_ACCESS

void __tsan_read_range(void* address, unsigned long bytes) {
  reprise::cuda_emulation::Check(address, bytes, reprise::cuda_emulation::Access::kRead,
                                 __builtin_return_address(0));
}
void __tsan_write_range(void* address, unsigned long bytes) {
  reprise::cuda_emulation::Check(address, bytes, reprise::cuda_emulation::Access::kWrite,
                                 __builtin_return_address(0));
}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
}
