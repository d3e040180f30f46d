#include "kernels/cuda/emulation/block.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include "base/check.h"
#include "kernels/cuda/emulation/shared_memory.h"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace reprise::cuda_emulation {

void (*check_access)(const void* address, std::size_t bytes, Access access) = nullptr;

namespace {

constexpr unsigned kMaxThreads = 1024;
constexpr unsigned kMaxGridYz = 65535;

// Lanes of one warp that wait for each other in the operation of one mask.
struct LaneGroup {
  unsigned mask = 0;
  unsigned arrived = 0;
  int operation = 0;
  SourceLine at{};
};

class Emulator {
 public:
  Emulator() {
    const char* schedule = std::getenv("REPRISE_EMULATION_SCHEDULE");
    if (schedule == nullptr || std::strcmp(schedule, "forward") == 0) return;
    if (std::strcmp(schedule, "reverse") == 0) {
      schedule_ = Schedule::kReverse;
    } else {
      REPRISE_CHECK(std::strncmp(schedule, "random:", 7) == 0);
      SetSchedule(Schedule::kRandom, std::strtoull(schedule + 7, nullptr, 10));
    }
  }

  void SetSchedule(Schedule schedule, std::uint64_t seed) {
    schedule_ = schedule;
    random_ = seed * 0x9e3779b97f4a7c15ull + 88172645463325252ull;
  }

  bool RunGrid(const GridShape& shape, void (*kernel)(const void*), const void* parameters,
               std::size_t parameter_bytes);
  std::string TakeFailure() { return std::exchange(failure_, ""); }

  [[noreturn]] void Fail(const std::string& message);
  void Barrier(SourceLine at);
  void WarpOperation(unsigned mask, int operation, const void* operand, void* result, WarpFunction function,
                     SourceLine at);
  void RunThread();

  Thread* current() const { return current_; }
  SharedArena& shared() { return shared_; }
  BlockView view() const {
    if (current_ == nullptr || !in_kernel_) return {};
    return {current_, serial_, epoch_, parameters_, parameter_bytes_};
  }
  void set_in_kernel(bool in_kernel) { in_kernel_ = in_kernel; }

 private:
  void PrepareThreads(unsigned count);
  void RunBlock(unsigned count);
  void SwitchTo(Thread* thread);
  void WaitForOthers();
  void Wake(Thread* thread);
  void AbandonBlock();
  LaneGroup* GroupOf(unsigned warp, unsigned mask, SourceLine at);
  std::string DeadlockReport(unsigned count) const;
  std::uint64_t Random();

  Schedule schedule_ = Schedule::kForward;
  std::uint64_t random_ = 0;
  SharedArena shared_;

  Context launcher_;
  std::vector<std::unique_ptr<Thread>> pool_;
  std::vector<Thread*> threads_;  // of the block, padded with nullptr to whole warps
  std::vector<Thread*> ready_;    // last in, first out: keeps a warp's data in the cache
  std::vector<std::vector<LaneGroup>> groups_;  // per warp
  std::vector<Thread*> at_barrier_;
  SourceLine barrier_at_{};
  Thread* current_ = nullptr;  // nullptr: the launcher runs

  void (*kernel_)(const void*) = nullptr;
  const void* parameters_ = nullptr;
  std::size_t parameter_bytes_ = 0;
  std::uint64_t serial_ = 0;
  unsigned num_threads_ = 0;
  unsigned num_exited_ = 0;
  unsigned epoch_ = 0;
  bool in_kernel_ = false;  // the current thread runs the kernel's code, not ours
  std::string failure_;
};

Emulator& TheEmulator() {
  static Emulator* const emulator = new Emulator;  // outlives whatever runs at exit
  return *emulator;
}

std::uint64_t Emulator::Random() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return random_;
}

void Emulator::SwitchTo(Thread* thread) {
  Context* from = current_ != nullptr ? &current_->context : &launcher_;
  Context* to = thread != nullptr ? &thread->context : &launcher_;
  if (from == to) return;
  current_ = thread;
  if (thread != nullptr) threadIdx = thread->index;
  Context::Switch(from, to);
}

// The current thread cannot go on: another one does, or, when none can, the launcher, which reports it.
void Emulator::WaitForOthers() {
  if (ready_.empty()) return SwitchTo(nullptr);
  if (schedule_ == Schedule::kRandom) std::swap(ready_.back(), ready_[Random() % ready_.size()]);
  Thread* next = ready_.back();
  ready_.pop_back();
  SwitchTo(next);
}

void Emulator::Wake(Thread* thread) {
  thread->state = Thread::State::kReady;
  ready_.push_back(thread);
}

void Emulator::Fail(const std::string& message) {
  REPRISE_CHECK(current_ != nullptr);
  const auto triple = [](unsigned x, unsigned y, unsigned z) {
    return "(" + std::to_string(x) + "," + std::to_string(y) + "," + std::to_string(z) + ")";
  };
  failure_ = message + ", in block " + triple(blockIdx.x, blockIdx.y, blockIdx.z) + ", thread " +
             triple(threadIdx.x, threadIdx.y, threadIdx.z);
  SwitchTo(nullptr);
  std::abort();  // a failed thread is never resumed
}

void Emulator::Barrier(SourceLine at) {
  if (!at_barrier_.empty() &&
      (barrier_at_.line != at.line || std::strcmp(barrier_at_.file, at.file) != 0)) {
    Fail("barrier divergence: a thread reached __syncthreads at " + ToString(at) + " while others wait at " +
         ToString(barrier_at_));
  }
  barrier_at_ = at;
  if (at_barrier_.size() + 1 < num_threads_) {
    current_->state = Thread::State::kAtBarrier;
    current_->at = at;
    at_barrier_.push_back(current_);
    return WaitForOthers();
  }
  ++epoch_;
  if (schedule_ != Schedule::kReverse) std::reverse(at_barrier_.begin(), at_barrier_.end());
  for (Thread* thread : at_barrier_) Wake(thread);
  at_barrier_.clear();
}

LaneGroup* Emulator::GroupOf(unsigned warp, unsigned mask, SourceLine at) {
  std::vector<LaneGroup>& groups = groups_[warp];
  for (LaneGroup& group : groups) {
    if (group.mask == mask) return &group;
  }
  for (const LaneGroup& group : groups) {
    if (group.arrived != 0 && (group.mask & mask) != 0) {
      Fail("warp divergence: the mask at " + ToString(at) + " is not the one other lanes wait with at " +
           ToString(group.at));
    }
  }
  groups.push_back({mask, 0, 0, at});
  return &groups.back();
}

void Emulator::WarpOperation(unsigned mask, int operation, const void* operand, void* result,
                             WarpFunction function, SourceLine at) {
  Thread* self = current_;
  const unsigned first = self->warp * kWarpLanes;
  const unsigned lanes_left = num_threads_ - first;
  if (lanes_left < kWarpLanes) mask &= (1u << lanes_left) - 1;
  if ((mask >> self->lane & 1u) == 0)
    Fail("warp operation at " + ToString(at) + ": the calling lane is not in its own mask");
  LaneGroup* group = GroupOf(self->warp, mask, at);
  if (group->arrived != 0 && (group->operation != operation || group->at.line != at.line)) {
    Fail("warp divergence: a lane is at " + ToString(at) + ", others of its mask are at " +
         ToString(group->at));
  }
  group->operation = operation;
  group->at = at;
  group->arrived |= 1u << self->lane;
  self->operand = operand;
  self->result = result;
  if (group->arrived != mask) {
    self->state = Thread::State::kInWarpOperation;
    self->at = at;
    return WaitForOthers();
  }
  group->arrived = 0;
  Thread* const* lanes = &threads_[first];
  function(lanes, mask);
  for (int i = 0; i < kWarpLanes; ++i) {
    const int lane = schedule_ == Schedule::kReverse ? i : kWarpLanes - 1 - i;
    if ((mask >> lane & 1u) != 0 && lanes[lane] != self) Wake(lanes[lane]);
  }
}

// The life of a fiber: it serves one thread after another.
void Emulator::RunThread() {
  for (;;) {
    in_kernel_ = true;
    kernel_(parameters_);
    in_kernel_ = false;
    if (!current_->open_copies.empty() || !current_->copy_groups.empty())
      Fail("a thread exits with asynchronous copies it never waited for");
    current_->state = Thread::State::kExited;
    ++num_exited_;
    WaitForOthers();
  }
}

void ThreadEntry() {
  Emulator& emulator = TheEmulator();
  emulator.current()->context.Entered();
  emulator.RunThread();
}

void Emulator::PrepareThreads(unsigned count) {
  while (pool_.size() < count) {
    auto thread = std::make_unique<Thread>();
    thread->linear = static_cast<unsigned>(pool_.size());
    thread->lane = thread->linear % kWarpLanes;
    thread->warp = thread->linear / kWarpLanes;
    thread->context.Create(&ThreadEntry, thread->linear);
    pool_.push_back(std::move(thread));
  }
  num_threads_ = count;
  threads_.assign((count + kWarpLanes - 1) / kWarpLanes * kWarpLanes, nullptr);
  for (unsigned i = 0; i < count; ++i) {
    threads_[i] = pool_[i].get();
    threads_[i]->index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
  }
  groups_.resize((count + kWarpLanes - 1) / kWarpLanes);
}

std::string Emulator::DeadlockReport(unsigned count) const {
  std::map<std::string, int> places;
  for (unsigned i = 0; i < count; ++i) {
    const Thread& thread = *threads_[i];
    switch (thread.state) {
      case Thread::State::kExited:
        ++places["have exited"];
        break;
      case Thread::State::kAtBarrier:
        ++places["wait at __syncthreads of " + ToString(thread.at)];
        break;
      default:
        ++places["wait in a warp operation of " + ToString(thread.at)];
    }
  }
  std::string report = "divergence:";
  for (const auto& [place, threads] : places) report += " " + std::to_string(threads) + " threads " + place + ";";
  report.back() = '.';
  return report;
}

// After a failure threads stand anywhere: all begin anew.
void Emulator::AbandonBlock() {
  at_barrier_.clear();
  ready_.clear();
  for (auto& groups : groups_) groups.clear();
  for (auto& thread : pool_) {
    thread->open_copies.clear();
    thread->copy_groups.clear();
    thread->state = Thread::State::kExited;
    thread->context.Restart();
  }
}

void Emulator::RunBlock(unsigned count) {
  ++serial_;
  epoch_ = 1;
  num_exited_ = 0;
  shared_.BeginBlock(serial_);
  for (unsigned i = 0; i < count; ++i) {
    Thread* thread = threads_[schedule_ == Schedule::kReverse ? i : count - 1 - i];
    thread->warp_syncs = 0;
    Wake(thread);
  }
  WaitForOthers();
  if (failure_.empty() && num_exited_ != count) failure_ = DeadlockReport(count);
  if (failure_.empty()) failure_ = shared_.DamagedCanary();
}

bool Emulator::RunGrid(const GridShape& shape, void (*kernel)(const void*), const void* parameters,
                       std::size_t parameter_bytes) {
  REPRISE_CHECK(current_ == nullptr);
  const dim3 grid = shape.grid;
  const std::uint64_t threads = std::uint64_t{shape.block.x} * shape.block.y * shape.block.z;
  if (threads == 0 || threads > kMaxThreads || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
      grid.y > kMaxGridYz || grid.z > kMaxGridYz || shape.dynamic_shared_bytes > kMaxSharedBytes) {
    failure_ = "invalid launch configuration";
    return false;
  }
  gridDim = grid;
  blockDim = shape.block;
  kernel_ = kernel;
  parameters_ = parameters;
  parameter_bytes_ = parameter_bytes;
  shared_.BeginGrid(shape.dynamic_shared_bytes);
  PrepareThreads(static_cast<unsigned>(threads));
  const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t b = schedule_ == Schedule::kReverse ? blocks - 1 - i : i;
    blockIdx = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                static_cast<unsigned>(b / (std::uint64_t{grid.x} * grid.y))};
    RunBlock(static_cast<unsigned>(threads));
    if (!failure_.empty()) {
      AbandonBlock();
      return false;
    }
  }
  return true;
}

}  // namespace

bool RunGrid(const GridShape& shape, void (*kernel)(const void*), const void* parameters,
             std::size_t parameter_bytes) {
  return TheEmulator().RunGrid(shape, kernel, parameters, parameter_bytes);
}
std::string TakeFailure() {
  return TheEmulator().TakeFailure();
}
void SetSchedule(Schedule schedule, std::uint64_t seed) {
  TheEmulator().SetSchedule(schedule, seed);
}

void Fail(const std::string& message) {
  TheEmulator().Fail(message);
}
void Barrier(SourceLine at) {
  const EmulatorAtWork guard;
  TheEmulator().Barrier(at);
}
void WarpOperation(unsigned mask, int operation, const void* operand, void* result, WarpFunction function,
                   SourceLine at) {
  const EmulatorAtWork guard;
  TheEmulator().WarpOperation(mask, operation, operand, result, function, at);
}

void* SharedMemory(SharedArray** array, std::size_t bytes, std::size_t alignment, const char* name,
                   SourceLine at) {
  const EmulatorAtWork guard;
  return TheEmulator().shared().Array(array, bytes, alignment, name, at);
}
void* DynamicSharedMemory() {
  return TheEmulator().shared().dynamic();
}

void IssueCopy(void* shared, const void* global) {
  if (((reinterpret_cast<std::uintptr_t>(shared) | reinterpret_cast<std::uintptr_t>(global)) & 15u) != 0)
    Fail("cp.async: misaligned address");
  if (check_access != nullptr) {
    check_access(shared, 16, Access::kWrite);
    check_access(shared, 16, Access::kBecomesUndefined);
  }
  const EmulatorAtWork guard;
  std::memset(shared, 0xff, 16);
  TheEmulator().current()->open_copies.push_back({shared, global});
}
void CommitCopies() {
  const EmulatorAtWork guard;
  Thread& thread = *TheEmulator().current();
  thread.copy_groups.push_back(std::exchange(thread.open_copies, {}));
}
void WaitForCopies(std::size_t groups_left) {
  std::vector<std::vector<Thread::Copy>>& groups = TheEmulator().current()->copy_groups;
  while (groups.size() > groups_left) {
    for (const Thread::Copy& copy : groups.front()) {
      if (check_access != nullptr) {
        check_access(copy.source, 16, Access::kRead);
        check_access(copy.target, 16, Access::kWrite);
      }
      std::memcpy(copy.target, copy.source, 16);
    }
    const EmulatorAtWork guard;
    groups.erase(groups.begin());
  }
}

BlockView RunningBlock() {
  return TheEmulator().view();
}
SharedRange ClassifyShared(const void* address, std::size_t bytes) {
  return TheEmulator().shared().Classify(address, bytes);
}
std::size_t SharedOffset(const void* address) {
  return TheEmulator().shared().Offset(address);
}

EmulatorAtWork::EmulatorAtWork() {
  TheEmulator().set_in_kernel(false);
}
EmulatorAtWork::~EmulatorAtWork() {
  TheEmulator().set_in_kernel(true);
}

}  // namespace reprise::cuda_emulation
