#include "kernels/cpu/tile_walk.h"

#include <algorithm>

#include "kernels/cpu/kv_cache.h"

namespace reprise {

SeenTiles TilesSeen(const AttentionArgs& args, const CpuAttentionPlan::Tile& tile, int partition) {
  const int begin = partition * kPartition;
  const int first = std::max(begin, Visible(args, tile.sequence, tile.first_token).first);
  const int last =
      std::min(begin + kPartition - 1, Visible(args, tile.sequence, tile.first_token + tile.tokens - 1).last);
  return {first / kKeyTile, last / kKeyTile - first / kKeyTile + 1};
}

int FirstPartition(const AttentionArgs& args, const CpuAttentionPlan::Tile& tile,
                   const CpuAttentionPlan::Item& item) {
  return std::max(item.first, Visible(args, tile.sequence, tile.first_token).first / kPartition);
}

void TileWalk::Reset(const AttentionArgs& args, const CpuAttentionPlan& plan, int end) {
  args_ = &args;
  plan_ = &plan;
  end_ = end;
  item_ = -1;
  tile_bytes_ = static_cast<std::ptrdiff_t>(kKeyTile * args.kv.geometry.head_bytes());
}

void TileWalk::BeginItem(int item) {
  if (item == item_ && item < end_) return;
  item_ = next_item_ = item;
  end_ = std::max(end_, item + 1);
  next_partition_ = -1;
  size_ = 0;
  Fill();
  asked_ = std::min(kAhead, (size_ + 1) / 2);  // of little, the rest while this is read
  for (int i = 0; i < asked_; ++i) {
    for (std::ptrdiff_t line = 0; line < tile_bytes_; line += 64) __builtin_prefetch(tiles_[i] + line);
  }
}

std::span<const std::byte* const> TileWalk::FetchNext(int count) {
  const int first = asked_;
  asked_ = std::clamp(std::min(size_, count + kAhead), first, first + count);
  return {tiles_ + first, static_cast<std::size_t>(asked_ - first)};
}

void TileWalk::LeavePartition(int count) {
  std::copy(tiles_ + count, tiles_ + size_, tiles_);
  size_ -= count;
  asked_ = std::max(0, asked_ - count);
  Fill();
}

void TileWalk::Fill() {
  while (size_ < kWanted && next_item_ < end_) {
    const CpuAttentionPlan::Item& item = plan_->items_[next_item_];
    const CpuAttentionPlan::Tile& tile = plan_->tiles_[item.tile];
    if (next_partition_ < 0) next_partition_ = FirstPartition(*args_, tile, item);
    if (next_partition_ < item.last) {
      Append(tile, TilesSeen(*args_, tile, next_partition_++));
    } else {
      ++next_item_;
      next_partition_ = -1;
    }
  }
}

void TileWalk::Append(const CpuAttentionPlan::Tile& tile, SeenTiles seen) {
  const KvGeometry& geometry = args_->kv.geometry;
  const int block_tiles = geometry.block_size / kKeyTile;
  const std::size_t tile_bytes = kKeyTile * geometry.head_bytes();
  const std::size_t block_bytes = block_tiles * tile_bytes;
  const std::size_t head = KvTileOffset(geometry, 0, tile.kv_head, 0);
  const BlockId* block =
      args_->batch->block_ids.data() + args_->batch->block_start[tile.sequence] + seen.first / block_tiles;
  int within = seen.first % block_tiles;
  for (const std::byte **key = tiles_ + size_, **end = key + seen.count; key < end; ++key) {
    const std::size_t offset = head + *block * block_bytes + within * tile_bytes;
    key[0] = args_->kv.keys + offset;
    key[seen.count] = args_->kv.values + offset;
    if (++within < block_tiles) continue;
    within = 0;
    ++block;
  }
  size_ += 2 * seen.count;
}

}  // namespace reprise
