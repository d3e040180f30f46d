#include "kernels/cpu/kv_cache.h"

#include <cstdint>
#include <cstring>

#include "base/float_types.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/kv_int8.h"

namespace reprise {
namespace {

// Where one head of one slot lies, in bytes from the start of an array.
struct SlotBytes {
  std::size_t scale;   // of int8
  std::size_t first;   // element
  std::size_t stride;  // from one element to the next
};

SlotBytes Locate(const KvGeometry& geometry, int slot, int kv_head, std::size_t first, std::size_t stride) {
  const int within = slot % geometry.block_size;
  const std::size_t tile = KvTileOffset(geometry, slot / geometry.block_size, kv_head, within / kKeyTile);
  const std::size_t element = geometry.element_bytes();
  const std::size_t position = within % kKeyTile;
  return {tile + position * geometry.scale_bytes(),
          tile + kKeyTile * geometry.scale_bytes() + position * first * element, stride * element};
}
SlotBytes LocateKey(const KvGeometry& geometry, int slot, int kv_head) {
  return Locate(geometry, slot, kv_head, 1, kKeyTile);
}
SlotBytes LocateValue(const KvGeometry& geometry, int slot, int kv_head) {
  return Locate(geometry, slot, kv_head, geometry.head_dim, 1);
}

template <typename T>
void Put(std::byte* out, T value) {
  std::memcpy(out, &value, sizeof(T));
}
template <typename T>
T Get(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

void Store(const KvGeometry& geometry, std::byte* base, SlotBytes at, const float* x) {
  std::byte* out = base + at.first;
  switch (geometry.type) {
    case KvType::kF32:
      for (int d = 0; d < geometry.head_dim; ++d) Put(out + d * at.stride, x[d]);
      return;
    case KvType::kBF16:
      for (int d = 0; d < geometry.head_dim; ++d) Put(out + d * at.stride, FloatToBf16(x[d]));
      return;
    case KvType::kInt8: {
      const KvScale scale = KvScaleOf(x, geometry.head_dim);
      Put(base + at.scale, scale.scale);
      for (int d = 0; d < geometry.head_dim; ++d) Put(out + d * at.stride, QuantizeKv(x[d], scale.inverse));
      return;
    }
  }
}

void Load(const KvGeometry& geometry, const std::byte* base, SlotBytes at, float* out) {
  for (int d = 0; d < geometry.head_dim; ++d) {
    const std::byte* from = base + at.first + d * at.stride;
    switch (geometry.type) {
      case KvType::kF32:
        out[d] = Get<float>(from);
        break;
      case KvType::kBF16:
        out[d] = Bf16ToFloat(Get<std::uint16_t>(from));
        break;
      case KvType::kInt8:
        out[d] = Get<float>(base + at.scale) * static_cast<float>(Get<std::int8_t>(from));
        break;
    }
  }
}

void Copy(const KvGeometry& geometry, std::byte* base, SlotBytes from, SlotBytes to) {
  std::memcpy(base + to.scale, base + from.scale, geometry.scale_bytes());
  const std::size_t bytes = geometry.element_bytes();
  for (int d = 0; d < geometry.head_dim; ++d)
    std::memcpy(base + to.first + d * to.stride, base + from.first + d * from.stride, bytes);
}

}  // namespace

std::size_t KvTileOffset(const KvGeometry& geometry, int block, int kv_head, int tile) {
  const std::size_t head = static_cast<std::size_t>(block) * geometry.num_kv_heads + kv_head;
  return (head * geometry.block_size + static_cast<std::size_t>(tile) * kKeyTile) * geometry.head_bytes();
}

void StoreKey(const KvLayer& kv, int slot, int kv_head, const float* key) {
  Store(kv.geometry, kv.keys, LocateKey(kv.geometry, slot, kv_head), key);
}

void StoreValue(const KvLayer& kv, int slot, int kv_head, const float* value) {
  Store(kv.geometry, kv.values, LocateValue(kv.geometry, slot, kv_head), value);
}

void CopyCpuKvSlots(std::span<const int> src, std::span<const int> dst, const KvLayer& kv) {
  const KvGeometry& geometry = kv.geometry;
  for (std::size_t i = 0; i < src.size(); ++i) {
    for (int h = 0; h < geometry.num_kv_heads; ++h) {
      Copy(geometry, kv.keys, LocateKey(geometry, src[i], h), LocateKey(geometry, dst[i], h));
      Copy(geometry, kv.values, LocateValue(geometry, src[i], h), LocateValue(geometry, dst[i], h));
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
      Load(geometry, kv.keys, LocateKey(geometry, slot, h), keys->data() + at);
      Load(geometry, kv.values, LocateValue(geometry, slot, h), values->data() + at);
    }
  }
}

}  // namespace reprise
