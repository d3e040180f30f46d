#include "kernels/cpu/cpu_attention_plan.h"

#include <algorithm>

#include "kernels/cpu/kernel_table.h"

namespace reprise {
namespace {

// Rows (tokens times query heads of a KV head) of a tile: they share the keys and values of a partition while
// those are in the second-level cache.
constexpr int kTileQueryRows = 24;
// Items per thread to aim for, so that threads end together.
constexpr int kItemsPerThread = 8;

}  // namespace

int StateStride(int head_dim) {
  return (head_dim + 15) / 16 * 16;
}
std::size_t StateFloats(int rows, int head_dim) {
  return static_cast<std::size_t>(rows) * (2 + StateStride(head_dim));
}

VisibleRange Visible(const AttentionArgs& args, int sequence, int token) {
  const int position = args.batch->context_len[sequence] + token - args.batch->query_start[sequence];
  return {args.sliding_window > 0 ? std::max(0, position - args.sliding_window + 1) : 0, position};
}

int CpuAttentionPlan::max_rows() const {
  return std::max(kTileQueryRows, group());
}

void CpuAttentionPlan::AddSequence(const BatchView& batch, int sequence) {
  const int tokens_per_tile = std::max(1, kTileQueryRows / group());
  const int end = batch.query_start[sequence + 1];
  for (int t = batch.query_start[sequence]; t < end; t += tokens_per_tile) {
    const int tokens = std::min(tokens_per_tile, end - t);
    const int last = batch.context_len[sequence] + t + tokens - 1 - batch.query_start[sequence];
    for (int h = 0; h < shape_.num_kv_heads; ++h)
      tiles_.push_back({sequence, t, tokens, h, last / kPartition + 1, -1, 1});
  }
}

// `largest` is the cost, in rows times partitions, that an item should not exceed.
void CpuAttentionPlan::CutTile(int index, std::int64_t largest) {
  Tile& tile = tiles_[index];
  const int rows = tile.tokens * group();
  const auto span = static_cast<int>(std::clamp<std::int64_t>(largest / rows, 1, tile.partitions));
  tile.items = (tile.partitions - 1) / span + 1;
  for (int i = 0; i < tile.items; ++i)
    items_.push_back({index, tile.partitions * i / tile.items, tile.partitions * (i + 1) / tile.items});
  if (tile.items == 1) return;
  tile.states = static_cast<std::ptrdiff_t>(state_floats_);
  state_floats_ += StateFloats(rows, shape_.head_dim) * tile.partitions;
}

Status CpuAttentionPlan::Plan(const BatchView& batch, int num_threads) {
  tiles_.clear();
  items_.clear();
  state_floats_ = 0;
  std::int64_t cost = 0;
  for (int s = 0; s < batch.num_sequences(); ++s) AddSequence(batch, s);
  for (const Tile& tile : tiles_) cost += std::int64_t{tile.tokens} * group() * tile.partitions;
  const std::int64_t largest = num_threads == 1 ? cost : cost / (kItemsPerThread * num_threads) + 1;
  for (int i = 0; i < static_cast<int>(tiles_.size()); ++i) CutTile(i, largest);
  if (open_.size() < tiles_.size()) open_ = std::vector<std::atomic<int>>(tiles_.size() + tiles_.size() / 4);
  for (std::size_t i = 0; i < tiles_.size(); ++i) open_[i].store(tiles_[i].items, std::memory_order_relaxed);
  return states_.Reserve(state_floats_ * sizeof(float));
}

}  // namespace reprise
