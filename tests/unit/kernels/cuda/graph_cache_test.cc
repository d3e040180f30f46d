// Command lists: run, captured, replayed, forgotten.
#include "kernels/cuda/graph_cache.h"

#include <catch2/catch.hpp>

#include "kernels/cuda/emulation/runtime_api.h"

namespace reprise::cuda {
namespace {

constexpr std::size_t kRoomy = std::size_t{1} << 30;
constexpr std::size_t kCommand = cuda_emulation::kGraphCommandBytes;

struct AddCommand {
  int* counter;
  long amount;
};
cudaError_t RunAdd(const void* command, cudaStream_t stream) {
  const AddCommand add = *static_cast<const AddCommand*>(command);
  return cuda_emulation::Enqueue(stream, [add] { *add.counter += static_cast<int>(add.amount); });
}

CommandList ListOf(int* counter, std::initializer_list<int> amounts) {
  CommandList list;
  for (int amount : amounts) {
    const AddCommand command{counter, amount};
    list.Append(&RunAdd, &command, sizeof(command));
  }
  return list;
}

class TestStream {
 public:
  TestStream() { REQUIRE(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking) == cudaSuccess); }
  ~TestStream() { cudaStreamDestroy(stream_); }
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// Leaves the device as large as it was.
struct MemoryGuard {
  MemoryGuard() { REQUIRE(cudaMemGetInfo(&free, &total) == cudaSuccess); }
  ~MemoryGuard() { cuda_emulation::SetDeviceMemoryBytes(total); }
  std::size_t free = 0;
  std::size_t total = 0;
};

TEST_CASE("a list is captured the second time and replayed from then on") {
  TestStream stream;
  GraphCache cache(kRoomy);
  int counter = 0;
  const CommandList list = ListOf(&counter, {1, 10});
  for (int run = 1; run <= 4; ++run) {
    REQUIRE(cache.Run(list, stream.get()) == cudaSuccess);
    CHECK(counter == 11 * run);
  }
  CHECK(cache.num_captured() == 1);
  CHECK(cache.num_replayed() == 2);
}

TEST_CASE("lists that differ in one parameter are different graphs") {
  TestStream stream;
  GraphCache cache(kRoomy);
  int counter = 0;
  for (int run = 0; run < 2; ++run) {
    REQUIRE(cache.Run(ListOf(&counter, {1, 2}), stream.get()) == cudaSuccess);
    REQUIRE(cache.Run(ListOf(&counter, {1, 3}), stream.get()) == cudaSuccess);
  }
  CHECK(counter == 2 * (3 + 4));
  CHECK(cache.num_captured() == 2);
  CHECK(cache.num_replayed() == 0);
}

TEST_CASE("the oldest list is forgotten first") {
  TestStream stream;
  GraphCache cache(kRoomy);
  int counter = 0;
  const CommandList first = ListOf(&counter, {1000});
  REQUIRE(cache.Run(first, stream.get()) == cudaSuccess);
  for (int i = 0; i < static_cast<int>(GraphCache::kMaxGraphs); ++i)
    REQUIRE(cache.Run(ListOf(&counter, {i}), stream.get()) == cudaSuccess);
  REQUIRE(cache.Run(first, stream.get()) == cudaSuccess);  // as if new
  CHECK(cache.num_captured() == 0);
  REQUIRE(cache.Run(ListOf(&counter, {63}), stream.get()) == cudaSuccess);
  CHECK(cache.num_captured() == 1);
}

// Runs a list of three commands, `amount` its own, as often.
void RunThree(GraphCache& cache, const TestStream& stream, int* counter, int amount, int times = 2) {
  for (int i = 0; i < times; ++i)
    REQUIRE(cache.Run(ListOf(counter, {amount, 0, 0}), stream.get()) == cudaSuccess);
}

TEST_CASE("graphs stay within their memory, and the oldest go first") {
  TestStream stream;
  int counter = 0;
  const bool kept = GENERATE(false, true);  // by the driver, what graphs had that are gone
  cuda_emulation::SetGraphMemoryIsKept(kept);
  const std::size_t in_use = cuda_emulation::DeviceMemoryInUse();
  {
    GraphCache cache(10 * kCommand);
    for (int amount = 1; amount <= 3; ++amount) RunThree(cache, stream, &counter, amount);
    CHECK(cache.bytes() == 9 * kCommand);
    RunThree(cache, stream, &counter, 1, 1);  // the latest now
    RunThree(cache, stream, &counter, 4);     // in the place of 2
    CHECK(cache.num_captured() == 4);
    CHECK(cache.num_replayed() == 1);
    RunThree(cache, stream, &counter, 1, 1);
    RunThree(cache, stream, &counter, 3, 1);
    CHECK(cache.num_replayed() == 3);
    RunThree(cache, stream, &counter, 2, 1);  // as if new
    CHECK(cache.num_replayed() == 3);
    for (int amount = 5; amount < 40; ++amount) {
      RunThree(cache, stream, &counter, amount, 3);
      CHECK(cuda_emulation::DeviceMemoryInUse() <= in_use + 10 * kCommand);
    }
    CHECK(cache.num_captured() == 4 + 35);
    CHECK(cache.num_replayed() == 3 + 35);
  }
  cuda_emulation::SetGraphMemoryIsKept(false);
  CHECK(cuda_emulation::DeviceMemoryInUse() == in_use);
}

TEST_CASE("a list whose graph has no room goes command by command") {
  TestStream stream;
  int counter = 0;
  const bool on_device = GENERATE(false, true);  // or in what graphs may take, which may be nothing
  const std::size_t in_use = cuda_emulation::DeviceMemoryInUse();
  MemoryGuard guard;
  if (on_device) cuda_emulation::SetDeviceMemoryBytes(in_use + 2 * kCommand);
  GraphCache cache(on_device ? kRoomy : GENERATE(0, 2) * kCommand);
  RunThree(cache, stream, &counter, 5, 4);
  CHECK(counter == 20);
  CHECK(cache.num_captured() == 0);
  CHECK(cache.bytes() == 0);
  CHECK(cuda_emulation::DeviceMemoryInUse() == in_use);
}

}  // namespace
}  // namespace reprise::cuda
