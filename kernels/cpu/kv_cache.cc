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
  std::size_t scale;  // of int8
  std::size_t first;  // element
  std::size_t pairs;  // from one pair of elements to the next
  std::size_t odd;    // from an even element to the odd one after it

  std::size_t At(int d) const { return first + d / 2 * pairs + d % 2 * odd; }
};

// A tile, and a position in it.
struct TileSlot {
  std::size_t tile;
  std::size_t position;
};
TileSlot Locate(const KvGeometry& geometry, int slot, int kv_head) {
  const int within = slot % geometry.block_size;
  return {KvTileOffset(geometry, slot / geometry.block_size, kv_head, within / kKeyTile),
          static_cast<std::size_t>(within % kKeyTile)};
}

// The layouts of kernel_table.h.
SlotBytes LocateKey(const KvGeometry& geometry, int slot, int kv_head) {
  const auto [tile, position] = Locate(geometry, slot, kv_head);
  if (geometry.type == KvType::kInt8) {
    const std::size_t cells = tile + kKeyTile * sizeof(float);
    return {tile + position * sizeof(float), cells + 2 * position, 2 * kKeyTile, 1};
  }
  const std::size_t element = geometry.element_bytes();
  return {0, tile + position * element, 2 * kKeyTile * element, kKeyTile * element};
}
SlotBytes LocateValue(const KvGeometry& geometry, int slot, int kv_head) {
  const auto [tile, position] = Locate(geometry, slot, kv_head);
  if (geometry.type == KvType::kInt8) {
    const std::size_t cells = tile + kKeyTile * sizeof(float);
    return {tile + position * sizeof(float), cells + position / 2 * 2 * geometry.head_dim + position % 2, 4,
            2};
  }
  const std::size_t element = geometry.element_bytes();
  return {0, tile + position * geometry.head_dim * element, 2 * element, element};
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

// Writes convert(x[d]) to each element d; head_dim is even.
template <typename Convert>
void PutAll(std::byte* base, const SlotBytes& at, const float* x, int head_dim, Convert convert) {
  std::byte* out = base + at.first;
  for (int d = 0; d < head_dim; d += 2, out += at.pairs) {
    Put(out, convert(x[d]));
    Put(out + at.odd, convert(x[d + 1]));
  }
}

void Store(const KvGeometry& geometry, std::byte* base, const SlotBytes& at, const float* x) {
  const int dim = geometry.head_dim;
  switch (geometry.type) {
    case KvType::kF32:
      return PutAll(base, at, x, dim, [](float value) { return value; });
    case KvType::kBF16:
      return PutAll(base, at, x, dim, FloatToBf16);
    case KvType::kInt8: {
      const KvScale scale = KvScaleOf(x, dim);
      Put(base + at.scale, scale.scale);
      return PutAll(base, at, x, dim, [&](float value) { return QuantizeKv(value, scale.inverse); });
    }
  }
}

void FetchForWriting(const std::byte* begin, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(begin + i, 1);
}

void Load(const KvGeometry& geometry, const std::byte* base, SlotBytes at, float* out) {
  for (int d = 0; d < geometry.head_dim; ++d) {
    const std::byte* from = base + at.At(d);
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
  for (int d = 0; d < geometry.head_dim; ++d) std::memcpy(base + to.At(d), base + from.At(d), bytes);
}

}  // namespace

std::size_t KvTileOffset(const KvGeometry& geometry, int block, int kv_head, int tile) {
  const std::size_t of_head = static_cast<std::size_t>(kv_head) * geometry.num_blocks + block;
  return (of_head * geometry.block_size + static_cast<std::size_t>(tile) * kKeyTile) * geometry.head_bytes();
}

void FetchSlot(const KvLayer& kv, int slot) {
  const KvGeometry& geometry = kv.geometry;
  for (int h = 0; h < geometry.num_kv_heads; ++h) {
    FetchForWriting(kv.keys + Locate(geometry, slot, h).tile, kKeyTile * geometry.head_bytes());
    FetchForWriting(kv.values + LocateValue(geometry, slot, h).first, geometry.head_bytes());
  }
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
