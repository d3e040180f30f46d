#include "cli/bandwidth.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <utility>

namespace reprise {
namespace {

constexpr std::size_t kPiece = std::size_t{1} << 20;
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

}  // namespace

Result<BandwidthReader> BandwidthReader::Create(Backend& backend, std::size_t bytes) {
  bytes = (bytes + kPiece - 1) / kPiece * kPiece;
  ASSIGN_OR_RETURN(std::unique_ptr<DeviceMemory> memory, backend.Allocate(bytes));
  std::memset(memory->data(), 1, bytes);  // untouched pages would all be the one zero page
  return BandwidthReader(backend, std::move(memory));
}

double BandwidthReader::Measure() {
  const auto* base = static_cast<const std::byte*>(memory_->data());
  const int pieces = static_cast<int>(memory_->bytes() / kPiece);
  std::atomic<std::uint64_t> total{0};  // keeps the loop from being optimised away
  const auto start = std::chrono::steady_clock::now();
  backend_->ParallelFor(pieces, 1, [&](int begin, int end, int) {
    const auto* words =
        reinterpret_cast<const std::uint64_t*>(base + static_cast<std::size_t>(begin) * kPiece);
    total += Sum(words, static_cast<std::size_t>(end - begin) * kPiece / sizeof(std::uint64_t));
  });
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return total.load() == 0 ? 0.0 : static_cast<double>(memory_->bytes()) / seconds;
}

}  // namespace reprise
