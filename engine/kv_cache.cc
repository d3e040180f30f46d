#include "engine/kv_cache.h"

#include <cstring>
#include <string>

#include "base/text.h"

namespace reprise {

std::size_t KvCache::BlockBytes(std::span<const KvGeometry> layers) {
  std::size_t bytes = 0;
  for (const KvGeometry& geometry : layers) bytes += 2 * geometry.block_bytes();
  return bytes;
}

Result<KvCache> KvCache::Allocate(Backend& backend, std::span<const KvGeometry> layers, bool poison) {
  const int num_blocks = layers.front().num_blocks;
  const std::size_t total = BlockBytes(layers) * static_cast<std::size_t>(num_blocks);
  auto memory = backend.Allocate(total);
  if (!memory.ok()) {
    return ResourceExhausted(
        "cannot allocate the KV cache of " + FormatBytes(total) + " (" + std::to_string(num_blocks) +
        " blocks of " + std::to_string(layers.front().block_size) + " tokens): " + memory.status().message());
  }
  KvCache cache;
  cache.memory_ = std::move(memory).value();
  if (poison) {
    // All bits set is a NaN in bf16 and in f32, and so are the scales of int8.
    const std::vector<std::byte> ones(total, std::byte{0xff});
    backend.Upload(cache.memory_->data(), ones.data(), total);
  }
  auto* base = static_cast<std::byte*>(cache.memory_->data());
  for (const KvGeometry& geometry : layers) {
    const std::size_t array_bytes = geometry.block_bytes() * static_cast<std::size_t>(num_blocks);
    cache.layers_.push_back({geometry, base, base + array_bytes});
    base += 2 * array_bytes;
  }
  return cache;
}

}  // namespace reprise
