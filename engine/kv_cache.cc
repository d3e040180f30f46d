#include "engine/kv_cache.h"

#include <algorithm>
#include <string>

#include "base/text.h"

namespace reprise {
namespace {

constexpr std::size_t kFillPiece = std::size_t{1} << 20;

void Fill(Backend& backend, DeviceMemory& memory, std::byte value) {
  const std::vector<std::byte> piece(std::min(kFillPiece, memory.bytes()), value);
  auto* const base = static_cast<std::byte*>(memory.data());
  for (std::size_t begin = 0; begin < memory.bytes(); begin += piece.size()) {
    backend.Upload(base + begin, piece.data(), std::min(piece.size(), memory.bytes() - begin));
  }
}

}  // namespace

Result<KvCache> KvCache::Allocate(Backend& backend, const KvGeometry& geometry, int num_layers, KvFill fill) {
  const std::size_t array_bytes = geometry.block_bytes() * static_cast<std::size_t>(geometry.num_blocks);
  const std::size_t total = 2 * array_bytes * static_cast<std::size_t>(num_layers);
  auto memory = backend.Allocate(total);
  if (!memory.ok()) {
    return ResourceExhausted("cannot allocate the KV cache of " + FormatBytes(total) + " (" +
                             std::to_string(geometry.num_blocks) + " blocks of " +
                             std::to_string(geometry.block_size) + " tokens): " + memory.status().message());
  }
  KvCache cache;
  cache.memory_ = std::move(memory).value();
  // All bits set is a NaN in bf16 and in f32.
  if (fill != KvFill::kUntouched) {
    Fill(backend, *cache.memory_, fill == KvFill::kNaN ? std::byte{0xff} : std::byte{0});
  }
  auto* base = static_cast<std::byte*>(cache.memory_->data());
  for (int layer = 0; layer < num_layers; ++layer) {
    cache.layers_.push_back({geometry, base, base + array_bytes});
    base += 2 * array_bytes;
  }
  return cache;
}

}  // namespace reprise
