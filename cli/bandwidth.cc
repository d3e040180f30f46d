#include "cli/bandwidth.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <utility>

namespace reprise {
namespace {

// Decoding is timed over many steps, so one pass would be noise beside it.
constexpr int kPasses = 16;
// The kernels fetch ahead, and so does what they are measured by: 4 KiB.
constexpr std::size_t kAheadWords = 512;

// Eight independent sums, so that the additions never wait for each other.
std::uint64_t Sum(const std::uint64_t* words, std::size_t count) {
  std::uint64_t sums[8] = {};
  for (std::size_t i = 0; i + 8 <= count; i += 8) {
    __builtin_prefetch(words + i + kAheadWords);
    for (std::size_t j = 0; j < 8; ++j) sums[j] += words[i + j];
  }
  std::uint64_t total = 0;
  for (std::uint64_t sum : sums) total += sum;
  return total;
}

// Part `index` of `count` equal ones, in whole cache lines.
std::uint64_t SumShare(std::span<const std::byte> bytes, int index, int count) {
  constexpr std::size_t kLine = 64;
  const std::size_t lines = bytes.size() / kLine;
  const std::size_t begin = lines * static_cast<std::size_t>(index) / static_cast<std::size_t>(count);
  const std::size_t end = lines * static_cast<std::size_t>(index + 1) / static_cast<std::size_t>(count);
  return Sum(reinterpret_cast<const std::uint64_t*>(bytes.data() + begin * kLine),
             (end - begin) * kLine / sizeof(std::uint64_t));
}

}  // namespace

WeightReader::WeightReader(Backend& backend, std::vector<const Weight*> weights)
    : backend_(&backend), weights_(std::move(weights)) {
  for (const Weight* weight : weights_) {
    bytes_ += weight->bytes();
    readable_ = readable_ && !weight->host_bytes().empty();
  }
}

double WeightReader::Measure() {
  if (!readable_) return 0;
  const int threads = backend_->num_threads();
  std::atomic<std::uint64_t> total{0};  // keeps the loop from being optimised away
  const auto start = std::chrono::steady_clock::now();
  for (int pass = 0; pass < kPasses; ++pass) {
    backend_->ParallelFor(threads, 1, [&](int begin, int end, int) {
      for (int share = begin; share < end; ++share) {
        for (const Weight* weight : weights_) total += SumShare(weight->host_bytes(), share, threads);
      }
    });
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return total.load() == 0 ? 0.0 : kPasses * static_cast<double>(bytes_) / seconds;
}

}  // namespace reprise
