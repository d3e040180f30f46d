#include "kernels/cpu/kv_cache.h"

#include <cstdint>
#include <cstring>

#include "base/float_types.h"
#include "kernels/cpu/kernel_table.h"

namespace reprise {
namespace {

// The elements of one head of one slot: every `stride`-th from `first`.
struct SlotElements {
  std::size_t first;
  std::size_t stride;
};

SlotElements KeyElements(const KvGeometry& geometry, int slot, int kv_head) {
  const int within = slot % geometry.block_size;
  const std::size_t tile = KvTileOffset(geometry, slot / geometry.block_size, kv_head, within / kKeyTile);
  return {tile + within % kKeyTile, kKeyTile};
}
SlotElements ValueElements(const KvGeometry& geometry, int slot, int kv_head) {
  const int within = slot % geometry.block_size;
  const std::size_t tile = KvTileOffset(geometry, slot / geometry.block_size, kv_head, within / kKeyTile);
  return {tile + static_cast<std::size_t>(within % kKeyTile) * geometry.head_dim, 1};
}

void Store(const KvGeometry& geometry, std::byte* base, SlotElements at, const float* values) {
  if (geometry.type == KvType::kF32) {
    auto* out = reinterpret_cast<float*>(base) + at.first;
    for (int d = 0; d < geometry.head_dim; ++d) out[d * at.stride] = values[d];
  } else {
    auto* out = reinterpret_cast<std::uint16_t*>(base) + at.first;
    for (int d = 0; d < geometry.head_dim; ++d) out[d * at.stride] = FloatToBf16(values[d]);
  }
}

void Load(const KvGeometry& geometry, const std::byte* base, SlotElements at, float* out) {
  for (int d = 0; d < geometry.head_dim; ++d) {
    const std::size_t element = at.first + d * at.stride;
    out[d] = geometry.type == KvType::kF32
                 ? reinterpret_cast<const float*>(base)[element]
                 : Bf16ToFloat(reinterpret_cast<const std::uint16_t*>(base)[element]);
  }
}

void Copy(const KvGeometry& geometry, std::byte* base, SlotElements from, SlotElements to) {
  const std::size_t bytes = geometry.element_bytes();
  for (int d = 0; d < geometry.head_dim; ++d)
    std::memcpy(base + (to.first + d * to.stride) * bytes, base + (from.first + d * from.stride) * bytes,
                bytes);
}

}  // namespace

std::size_t KvTileOffset(const KvGeometry& geometry, int block, int kv_head, int tile) {
  const std::size_t head = static_cast<std::size_t>(block) * geometry.num_kv_heads + kv_head;
  return (head * geometry.block_size + static_cast<std::size_t>(tile) * kKeyTile) * geometry.head_dim;
}

void StoreKey(const KvLayer& kv, int slot, int kv_head, const float* key) {
  Store(kv.geometry, kv.keys, KeyElements(kv.geometry, slot, kv_head), key);
}

void StoreValue(const KvLayer& kv, int slot, int kv_head, const float* value) {
  Store(kv.geometry, kv.values, ValueElements(kv.geometry, slot, kv_head), value);
}

void CopyCpuKvSlots(std::span<const int> src, std::span<const int> dst, const KvLayer& kv) {
  const KvGeometry& geometry = kv.geometry;
  for (std::size_t i = 0; i < src.size(); ++i) {
    for (int h = 0; h < geometry.num_kv_heads; ++h) {
      Copy(geometry, kv.keys, KeyElements(geometry, src[i], h), KeyElements(geometry, dst[i], h));
      Copy(geometry, kv.values, ValueElements(geometry, src[i], h), ValueElements(geometry, dst[i], h));
    }
  }
}

void ReadCpuKvSlots(std::span<const int> slots, const KvLayer& kv, std::vector<float>* keys,
                    std::vector<float>* values) {
  const KvGeometry& geometry = kv.geometry;
  const std::size_t size = slots.size() * geometry.num_kv_heads * geometry.head_dim;
  keys->resize(size);
  values->resize(size);
  std::size_t at = 0;
  for (int slot : slots) {
    for (int h = 0; h < geometry.num_kv_heads; ++h, at += geometry.head_dim) {
      Load(geometry, kv.keys, KeyElements(geometry, slot, h), keys->data() + at);
      Load(geometry, kv.values, ValueElements(geometry, slot, h), values->data() + at);
    }
  }
}

}  // namespace reprise
