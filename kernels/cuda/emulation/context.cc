#include "kernels/cuda/emulation/context.h"

#include <sys/mman.h>

#include <cstdint>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace reprise::cuda_emulation {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStackBytes = 256 << 10;
#else
constexpr std::size_t kStackBytes = 64 << 10;
#endif
constexpr std::size_t kGuardBytes = 4096;

// Saves the callee's registers and stack pointer at *from, then takes up those at `to`.
__attribute__((naked, noinline, no_sanitize("address"))) void SwapStacks(void** /*from*/, void* /*to*/) {
  asm("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret");
}

// The context that the switch in progress leaves.
Context* leaving = nullptr;

}  // namespace

Context::~Context() {
  if (stack_ != nullptr) munmap(stack_ - kGuardBytes, stack_bytes_ + kGuardBytes);
}

void Context::Create(void (*entry)(), unsigned number) {
  void* memory = mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  REPRISE_CHECK(memory != MAP_FAILED);
  REPRISE_CHECK(mprotect(memory, kGuardBytes, PROT_NONE) == 0);
  stack_ = static_cast<char*>(memory) + kGuardBytes;
  stack_bytes_ = kStackBytes;
  entry_ = entry;
  number_ = number;
  Restart();
}

void Context::Restart() {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(stack_, stack_bytes_);
  sanitizer_stack_ = stack_;
  sanitizer_bytes_ = stack_bytes_;
  fake_stack_ = nullptr;
#endif
  const std::size_t color = (number_ * 5 % 32) * 128;
  auto* top = reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(stack_ + stack_bytes_ - color) &
                                       ~std::uintptr_t{15});
  *--top = nullptr;  // a return address that keeps the alignment and ends unwinding
  *--top = reinterpret_cast<void*>(entry_);
  for (int i = 0; i < 6; ++i) *--top = nullptr;  // the registers SwapStacks restores
  stack_pointer_ = top;
}

__attribute__((no_sanitize("address"))) void Context::Switch(Context* from, Context* to) {
  leaving = from;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from->fake_stack_, to->sanitizer_stack_, to->sanitizer_bytes_);
#endif
  SwapStacks(&from->stack_pointer_, to->stack_pointer_);
  from->Entered();
}

__attribute__((no_sanitize("address"))) void Context::Entered() {
#if defined(__SANITIZE_ADDRESS__)
  const void* left_stack = nullptr;
  std::size_t left_bytes = 0;
  __sanitizer_finish_switch_fiber(fake_stack_, &left_stack, &left_bytes);
  // Where the launching code's own stack lies becomes known when it is left.
  if (leaving->stack_ == nullptr) {
    leaving->sanitizer_stack_ = left_stack;
    leaving->sanitizer_bytes_ = left_bytes;
  }
#endif
}

bool Context::OwnsAddress(const void* address) const {
  const char* p = static_cast<const char*>(address);
  return p >= stack_ && p < stack_ + stack_bytes_;
}

}  // namespace reprise::cuda_emulation
