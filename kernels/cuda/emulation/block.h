// The emulator's core: runs the blocks of a grid one after another, the threads of a block as fibers on one
// OS thread. A thread runs until it must wait: at a barrier, or in a warp operation, which the last lane to
// arrive carries out for all. Shared memory begins every block as NaN, with canaries around each array.
//
// What this finds: divergent barriers and warp operations, missing barriers (with both schedules), reads of
// unwritten shared memory, writes past a shared array, copies that were not waited for. What it does not:
// resource limits, bank conflicts, the memory model between blocks, speed. The access checker
// (access_checker.h) adds races and wild addresses.
//
// One kernel runs at a time in a process; launches must not come from two OS threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/emulation/context.h"
#include "kernels/cuda/emulation/vector_types.h"

namespace reprise::cuda_emulation {

inline constexpr int kWarpLanes = 32;
inline constexpr std::size_t kMaxSharedBytes = 227 << 10;  // a block's, on compute capability 9.0

struct SourceLine {
  const char* file;
  int line;
};

// In what order threads and blocks run. A kernel must give the same results in each; forward order alone
// hides "thread 0 writes, all read". From $REPRISE_EMULATION_SCHEDULE: forward, reverse or random:SEED.
enum class Schedule { kForward, kReverse, kRandom };

// One thread of the running block.
struct Thread {
  enum class State : std::uint8_t { kReady, kAtBarrier, kInWarpOperation, kExited };
  struct Copy {
    void* target;
    const void* source;
  };

  Context context;
  uint3 index{};
  unsigned linear = 0;  // within the block
  unsigned lane = 0;
  unsigned warp = 0;
  unsigned warp_syncs = 0;  // how many __syncwarp it has passed in this block
  State state = State::kExited;
  SourceLine at{};  // where it waits
  const void* operand = nullptr;
  void* result = nullptr;
  std::vector<Copy> open_copies;               // asynchronous copies not yet committed
  std::vector<std::vector<Copy>> copy_groups;  // committed, not yet waited for
};

// What a warp operation does for all lanes at once: lanes[i] for the bits i of `mask`.
using WarpFunction = void (*)(Thread* const* lanes, unsigned mask);

// A shared array declared in a kernel; lives as long as the process.
struct SharedArray {
  char* memory;
  std::size_t bytes;
  const char* name;
  SourceLine at;
  std::uint64_t block = 0;  // serial number of the block that used it last
};

struct GridShape {
  dim3 grid;
  dim3 block;
  std::size_t dynamic_shared_bytes = 0;
};

// Runs `kernel(parameters)` for every thread of the grid. False when the kernel was at fault; failure() then
// says how, once.
bool RunGrid(const GridShape& shape, void (*kernel)(const void* parameters), const void* parameters,
             std::size_t parameter_bytes);
// What went wrong since the last call, "" when nothing did.
std::string TakeFailure();

void SetSchedule(Schedule schedule, std::uint64_t seed = 0);

// ---- for device_functions.h: called by the running thread

[[noreturn]] void Fail(const std::string& message);
void Barrier(SourceLine at);
// All lanes of `mask` must call with the same operation at the same line.
void WarpOperation(unsigned mask, int operation, const void* operand, void* result, WarpFunction function,
                   SourceLine at);
// Memory of the array for this block; `array` is remembered between calls.
void* SharedMemory(SharedArray** array, std::size_t bytes, std::size_t alignment, const char* name,
                   SourceLine at);
void* DynamicSharedMemory();
// cp.async of 16 bytes: the target is NaN from the issue to the wait.
void IssueCopy(void* shared, const void* global);
void CommitCopies();
void WaitForCopies(std::size_t groups_left);

// ---- for the access checker

// How the checker sees the running block; null thread: none runs, or the emulator itself is at work.
struct BlockView {
  Thread* thread = nullptr;
  std::uint64_t block = 0;  // serial number
  unsigned epoch = 0;       // barriers passed
  const void* parameters = nullptr;
  std::size_t parameter_bytes = 0;
};
BlockView RunningBlock();
enum class SharedRange { kNotShared, kInside, kOutside };
SharedRange ClassifyShared(const void* address, std::size_t bytes);
// Offset of a shared address in an arena of at most kSharedArenaBytes.
std::size_t SharedOffset(const void* address);
inline constexpr std::size_t kSharedArenaBytes = 8 << 20;

enum class Access { kRead, kWrite, kBecomesUndefined };
// Set by the checker when it is linked.
extern void (*check_access)(const void* address, std::size_t bytes, Access access);

// From entering the emulator until the kernel goes on: keeps our own accesses from the checker. (A linker may
// even give us an instrumented copy of a template of the standard library.)
class EmulatorAtWork {
 public:
  EmulatorAtWork();
  ~EmulatorAtWork();
};

}  // namespace reprise::cuda_emulation

// What kernels read. Set before a thread continues.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
