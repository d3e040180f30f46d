#include "engine/kv_cache.h"

#include <cstring>
#include <string>

#include "base/text.h"

namespace reprise {

Result<KvCache> KvCache::Allocate(Backend& backend, const KvGeometry& geometry, int num_layers, bool poison) {
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
  if (poison) {
    // All bits set is a NaN in bf16 and in f32.
    const std::vector<std::byte> ones(total, std::byte{0xff});
    backend.Upload(cache.memory_->data(), ones.data(), total);
  }
  auto* base = static_cast<std::byte*>(cache.memory_->data());
  for (int layer = 0; layer < num_layers; ++layer) {
    cache.layers_.push_back({geometry, base, base + array_bytes});
    base += 2 * array_bytes;
  }
  return cache;
}

}  // namespace reprise
