// The paged cache in device memory. Within a block keys and values lie as [kv head][slot][head_dim], so that
// attention reads a head's keys of a block in one piece.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cuda/host_device.h"
#include "kernels/cuda/stream.h"

namespace reprise::cuda {

// One layer's cache as kernels see it.
struct KvView {
  std::byte* keys;
  std::byte* values;
  int block_size;
  int num_kv_heads;
  int head_dim;
  int is_f32;
};

inline KvView ViewOf(const KvLayer& kv) {
  return {kv.keys,
          kv.values,
          kv.geometry.block_size,
          kv.geometry.num_kv_heads,
          kv.geometry.head_dim,
          kv.geometry.type == KvType::kF32 ? 1 : 0};
}

// In elements.
REPRISE_HOST_DEVICE inline std::int64_t KvOffset(const KvView& kv, int slot, int kv_head) {
  const std::int64_t block = slot / kv.block_size;
  return ((block * kv.num_kv_heads + kv_head) * kv.block_size + slot % kv.block_size) * kv.head_dim;
}

// The Backend's RopeAndStoreKv; positions and slots in device memory, args.qkv.rows each.
void RotateAndStore(Stream& stream, const RopeAndStoreKvArgs& args, const int* positions, const int* slots);
// src and dst in device memory, `count` each.
void CopySlots(Stream& stream, const int* src, const int* dst, int count, const KvLayer& kv);
// keys and values: device memory, [count, Hkv, head_dim] floats each.
void ReadSlots(Stream& stream, const int* slots, int count, const KvLayer& kv, float* keys, float* values);

}  // namespace reprise::cuda
