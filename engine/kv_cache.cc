#include "engine/kv_cache.h"

#include <cstring>
#include <string>

#include "base/text.h"

namespace reprise {

std::size_t KvCache::BlockBytes(std::span<const KvGeometry> layers, int hidden_size) {
  std::size_t bytes = 0;
  for (const KvGeometry& geometry : layers) bytes += 2 * geometry.block_bytes();
  return bytes + static_cast<std::size_t>(layers.front().block_size) * hidden_size * sizeof(float);
}

std::size_t KvCache::Bytes(std::span<const KvGeometry> layers, int hidden_size) {
  return BlockBytes(layers, hidden_size) * static_cast<std::size_t>(layers.front().num_blocks) +
         static_cast<std::size_t>(hidden_size) * sizeof(float);
}

Result<KvCache> KvCache::Allocate(Backend& backend, std::span<const KvGeometry> layers, bool poison,
                                  int hidden_size) {
  const int num_blocks = layers.front().num_blocks;
  const int num_slots = num_blocks * layers.front().block_size;
  const std::vector<float> zeros(static_cast<std::size_t>(hidden_size), 0.0f);
  const std::size_t row_bytes = zeros.size() * sizeof(float);
  const std::size_t total = Bytes(layers, hidden_size);
  auto memory = backend.Allocate(total);
  if (!memory.ok()) {
    return ResourceExhausted(
        "cannot allocate the KV cache of " + FormatBytes(total) + " (" + std::to_string(num_blocks) +
        " blocks of " + std::to_string(layers.front().block_size) + " tokens): " + memory.status().message());
  }
  KvCache cache;
  cache.memory_ = std::move(memory).value();
  auto* base = static_cast<std::byte*>(cache.memory_->data());
  if (poison) {
    // All bits set is a NaN in bf16 and in f32, and so are the scales of int8.
    const std::vector<std::byte> ones(total, std::byte{0xff});
    backend.Upload(base, ones.data(), total);
  }
  for (const KvGeometry& geometry : layers) {
    const std::size_t array_bytes = geometry.block_bytes() * static_cast<std::size_t>(num_blocks);
    cache.layers_.push_back({geometry, base, base + array_bytes});
    base += 2 * array_bytes;
  }
  if (hidden_size > 0) {
    backend.Upload(base + row_bytes * static_cast<std::size_t>(num_slots), zeros.data(), row_bytes);
    cache.hidden_states_ = {reinterpret_cast<float*>(base), num_slots + 1, hidden_size, hidden_size};
  }
  return cache;
}

}  // namespace reprise
