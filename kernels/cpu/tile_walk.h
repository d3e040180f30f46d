// The tiles of the cache that a thread reads, in the order in which it reads them: those of the partition at
// hand, and then what to fetch meanwhile, across the ends of items: the same thread mostly computes the next.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/cpu/cpu_attention_plan.h"
#include "kernels/cpu/kernel_table.h"

namespace reprise {

// The tiles of a sequence that some token of `tile` sees in a partition; at least one if it sees any.
struct SeenTiles {
  int first;  // counted from position 0
  int count;
};
SeenTiles TilesSeen(const AttentionArgs& args, const CpuAttentionPlan::Tile& tile, int partition);
// The first partition of an item of `tile` that some token sees; item.last or beyond when there is none.
int FirstPartition(const AttentionArgs& args, const CpuAttentionPlan::Tile& tile,
                   const CpuAttentionPlan::Item& item);

// One thread's. An item is begun, each partition of it that is seen is left, and the item is ended.
class alignas(64) TileWalk {
 public:
  // Before the first item of a layer: those before `end` are the thread's own, and nothing beyond them is
  // fetched. The arguments must outlive the last item.
  void Reset(const AttentionArgs& args, const CpuAttentionPlan& plan, int end);

  void BeginItem(int item);
  void EndItem() { ++item_; }

  // The keys' tiles of the partition at hand; those of its values follow.
  const std::byte* const* tiles() const { return tiles_; }
  // What to fetch while the first `count` of them are read, from the first that is not yet asked for: as many
  // as that, or fewer.
  std::span<const std::byte* const> FetchNext(int count);
  // The partition at hand has `count` tiles, keys and values.
  void LeavePartition(int count);

 private:
  // Memory is asked for a tile so many before it is read: with fewer it idles while a softmax is computed,
  // with more some of what is asked for is dropped.
  static constexpr int kAhead = 18;
  // Partitions are appended until this many tiles are at hand or ahead.
  static constexpr int kWanted = 2 * kPartitionTiles + kAhead;

  void Fill();
  void Append(const CpuAttentionPlan::Tile& tile, SeenTiles seen);

  const AttentionArgs* args_ = nullptr;
  const CpuAttentionPlan* plan_ = nullptr;
  int end_ = 0;
  std::ptrdiff_t tile_bytes_ = 0;
  int item_ = -1;           // at hand; -1: none
  int next_item_ = 0;       // of the partition that is appended next
  int next_partition_ = 0;  // -1: the item's first
  int size_ = 0;
  int asked_ = 0;  // of them, from the first on: they are fetched
  const std::byte* tiles_[kWanted + 2 * kPartitionTiles] = {};
};

}  // namespace reprise
