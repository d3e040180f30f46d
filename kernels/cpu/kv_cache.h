// Where the CPU backend keeps keys and values; kernel_table.h explains the layout. A head's blocks lie one
// after another, so that a sequence whose blocks were free in order is read as one stream.
#pragma once

#include <span>
#include <vector>

#include "kernels/backend.h"

namespace reprise {

// Bytes before the 16-position tile `tile` of a block's KV head, in the keys' array and the values' alike.
std::size_t KvTileOffset(const KvGeometry& geometry, int block, int kv_head, int tile);

// Asks for the memory that storing a slot's keys and values will write: a key is spread over the lines of its
// whole tile.
void FetchSlot(const KvLayer& kv, int slot);
void StoreKey(const KvLayer& kv, int slot, int kv_head, const float* key);
void StoreValue(const KvLayer& kv, int slot, int kv_head, const float* value);

// These follow the contracts of the Backend operations of the same names.
void CopyCpuKvSlots(std::span<const int> src, std::span<const int> dst, const KvLayer& kv);
void ReadCpuKvSlots(std::span<const int> slots, const KvLayer& kv, std::vector<float>* keys,
                    std::vector<float>* values);

}  // namespace reprise
