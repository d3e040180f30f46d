// Context switches between the threads of an emulated block and the launching code: one stack each, twenty
// instructions a switch. x86-64, System V calling convention. AddressSanitizer is told of every switch.
#pragma once

#include <cstddef>

namespace reprise::cuda_emulation {

// A point to resume at. Not copyable while it runs: others hold its address.
class Context {
 public:
  Context() = default;  // of the launching code; a stack comes with the thread that runs it
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context();

  // Gives it a stack of its own with a guard page below; `entry` never returns. `number` shifts the top of
  // the stack, or the tops of all stacks would share one set of the L1 cache.
  void Create(void (*entry)(), unsigned number);
  // Back to the beginning of `entry`; for threads that a failed kernel has left in the middle.
  void Restart();
  // Leaves `from` and continues here.
  static void Switch(Context* from, Context* to);
  // The first thing `entry` does.
  void Entered();

  bool OwnsAddress(const void* address) const;

 private:
  void* stack_pointer_ = nullptr;
  char* stack_ = nullptr;  // lowest usable address
  std::size_t stack_bytes_ = 0;
  void (*entry_)() = nullptr;
  unsigned number_ = 0;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  const void* sanitizer_stack_ = nullptr;
  std::size_t sanitizer_bytes_ = 0;
};

}  // namespace reprise::cuda_emulation
