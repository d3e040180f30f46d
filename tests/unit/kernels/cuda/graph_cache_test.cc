// Command lists: run, captured, replayed, forgotten.
#include "kernels/cuda/graph_cache.h"

#include <catch2/catch.hpp>

#include "kernels/cuda/emulation/runtime_api.h"

namespace reprise::cuda {
namespace {

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

TEST_CASE("a list is captured the second time and replayed from then on") {
  TestStream stream;
  GraphCache cache;
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
  GraphCache cache;
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
  GraphCache cache;
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

}  // namespace
}  // namespace reprise::cuda
