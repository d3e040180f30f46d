#include "kernels/cpu/cpu_attention.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/kv_cache.h"
#include "kernels/kv_int8.h"

namespace reprise {
namespace {

// Rows (tokens times query heads of a KV head) of a tile: they share the keys and values of a partition while
// those are in the second-level cache.
constexpr int kTileQueryRows = 24;
// Items per thread to aim for, so that threads end together.
constexpr int kItemsPerThread = 4;

int Stride(int head_dim) {
  return (head_dim + 15) / 16 * 16;
}
// Floats of an AttentionState of `rows` rows.
std::size_t StateFloats(int rows, int head_dim) {
  return static_cast<std::size_t>(rows) * (2 + Stride(head_dim));
}
AttentionState StateAt(float* memory, int rows, int head_dim) {
  return {memory, memory + rows, memory + 2 * rows, Stride(head_dim)};
}
AttentionState RowsFrom(const AttentionState& state, int row) {
  return {state.maximum + row, state.sum + row,
          state.values + static_cast<std::ptrdiff_t>(row) * state.stride, state.stride};
}

int Group(const AttentionShape& shape) {
  return shape.num_heads / shape.num_kv_heads;
}

// The positions a token sees.
struct Range {
  int first;
  int last;
};
Range Visible(const AttentionArgs& args, int sequence, int token) {
  const int position = args.batch->context_len[sequence] + token - args.batch->query_start[sequence];
  return {args.sliding_window > 0 ? std::max(0, position - args.sliding_window + 1) : 0, position};
}

}  // namespace

void CpuAttentionPlan::AddSequence(const BatchView& batch, int sequence) {
  const int tokens_per_tile = std::max(1, kTileQueryRows / Group(shape_));
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
  const int rows = tile.tokens * Group(shape_);
  const auto span = static_cast<int>(std::clamp<std::int64_t>(largest / rows, 1, tile.partitions));
  tile.items = 0;
  for (int p = 0; p < tile.partitions; p += span, ++tile.items)
    items_.push_back({index, p, std::min(tile.partitions, p + span)});
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
  for (const Tile& tile : tiles_) cost += std::int64_t{tile.tokens} * Group(shape_) * tile.partitions;
  const std::int64_t largest = num_threads == 1 ? cost : cost / (kItemsPerThread * num_threads) + 1;
  for (int i = 0; i < static_cast<int>(tiles_.size()); ++i) CutTile(i, largest);
  if (open_.size() < tiles_.size()) open_ = std::vector<std::atomic<int>>(tiles_.size() + tiles_.size() / 4);
  for (std::size_t i = 0; i < tiles_.size(); ++i) open_[i].store(tiles_[i].items, std::memory_order_relaxed);
  return states_.Reserve(state_floats_ * sizeof(float));
}

// The addresses of key tiles [first, last) and value tiles counted from position `begin`. Those from `last`
// on are the last one again: what is fetched too much costs nothing, where a null pointer would be as slow as
// any unmapped page.
void CpuAttention::LocateTiles(const AttentionArgs& args, const CpuAttentionPlan::Tile& tile, int begin,
                               int first, int last, const std::byte** keys, const std::byte** values) const {
  const KvGeometry& geometry = args.kv.geometry;
  const BlockId* blocks = args.batch->block_ids.data() + args.batch->block_start[tile.sequence];
  const int block_tiles = geometry.block_size / kKeyTile;
  const std::size_t tile_bytes = kKeyTile * geometry.head_bytes();
  int block = (begin / kKeyTile + first) / block_tiles;
  int within = (begin / kKeyTile + first) % block_tiles;
  std::size_t offset = KvTileOffset(geometry, blocks[block], tile.kv_head, within);
  for (int t = first; t < 2 * kPartitionTiles; ++t) {
    keys[t] = args.kv.keys + offset;
    if (t < kPartitionTiles) values[t] = args.kv.values + offset;
    if (t + 1 >= last) continue;
    offset += tile_bytes;
    if (++within < block_tiles) continue;
    within = 0;
    offset = KvTileOffset(geometry, blocks[++block], tile.kv_head, 0);
  }
}

void CpuAttention::AttendRows(const AttentionArgs& args, const CpuAttentionPlan::Tile& tile,
                              const RowBlock& block, const AttentionState& state) const {
  const KvGeometry& geometry = args.kv.geometry;
  const int begin = block.partition * kPartition;
  const int group = args.queries.columns / geometry.head_dim / geometry.num_kv_heads;
  AttendPartition work;
  work.queries = block.queries;
  work.rows = block.rows;
  work.head_dim = geometry.head_dim;
  work.type = geometry.type;
  std::copy_n(block.scales, block.rows, work.score_scale);
  work.state = state;
  int first = kPartition;
  int last = -1;
  for (int r = 0; r < block.rows; ++r) {
    const Range range = Visible(args, tile.sequence, tile.first_token + (block.first_row + r) / group);
    work.first[r] = std::clamp(range.first - begin, 0, kPartition);
    work.last[r] = std::min(range.last - begin, kPartition - 1);
    if (work.last[r] < work.first[r]) continue;
    first = std::min(first, work.first[r]);
    last = std::max(last, work.last[r]);
  }
  const std::byte* keys[2 * kPartitionTiles] = {};
  const std::byte* values[kPartitionTiles] = {};
  if (last >= 0) {
    const int seen = Visible(args, tile.sequence, tile.first_token + tile.tokens - 1).last + 1 - begin;
    const int wanted = block.fetch_next ? 2 * kPartition : (last / kKeyTile + 1) * kKeyTile;
    LocateTiles(args, tile, begin, first / kKeyTile, (std::min(seen, wanted) - 1) / kKeyTile + 1, keys,
                values);
  }
  work.key_tiles = keys;
  work.value_tiles = values;
  kernels_.attend(work);
}

// Queries of the tile's rows, for each few rows that are computed together as AttendPartition has them, and
// what their scores are scaled by.
void CpuAttention::PackQueries(const AttentionArgs& args, const CpuAttentionPlan& plan,
                               const CpuAttentionPlan::Tile& tile, float* packed, float* scales) const {
  const int dim = plan.shape_.head_dim;
  const int group = Group(plan.shape_);
  const int rows = tile.tokens * group;
  for (int row = 0; row < rows; ++row) {
    const int in_block = row % kMaxAttentionRows;
    const int first = row - in_block;
    const int together = std::min(kMaxAttentionRows, rows - first);
    const float* query =
        args.queries.row(tile.first_token + row / group) + (tile.kv_head * group + row % group) * dim;
    float* words = packed + first * dim + in_block;
    scales[row] = args.scale;
    if (args.kv.geometry.type != KvType::kInt8) {
      for (int d = 0; d < dim; ++d) words[d * together] = query[d];
      continue;
    }
    const KvScale scale = KvScaleOf(query, dim, 32767.0f);
    scales[row] *= scale.scale;
    for (int d = 0; d < dim; d += 2) {
      const std::int16_t pair[2] = {QuantizeKv<std::int16_t>(query[d], scale.inverse),
                                    QuantizeKv<std::int16_t>(query[d + 1], scale.inverse)};
      std::memcpy(words + d / 2 * together, pair, sizeof(pair));
    }
  }
}

void CpuAttention::FinishTile(const AttentionArgs& args, const CpuAttentionPlan& plan,
                              const CpuAttentionPlan::Tile& tile, const AttentionState& state) const {
  const int dim = plan.shape_.head_dim;
  const int group = Group(plan.shape_);
  for (int r = 0; r < tile.tokens * group; ++r) {
    float* out = args.out.row(tile.first_token + r / group) + (tile.kv_head * group + r % group) * dim;
    kernels_.finish(state, r, dim, out);
  }
}

void CpuAttention::RunItem(const AttentionArgs& args, const CpuAttentionPlan& plan, int index,
                           float* scratch) const {
  const CpuAttentionPlan::Item& item = plan.items_[index];
  const CpuAttentionPlan::Tile& tile = plan.tiles_[item.tile];
  const int dim = plan.shape_.head_dim;
  const int rows = tile.tokens * Group(plan.shape_);
  const std::size_t state_floats = StateFloats(rows, dim);
  const int first_seen = Visible(args, tile.sequence, tile.first_token).first / kPartition;

  const AttentionState running = StateAt(scratch, rows, dim);
  const AttentionState next = StateAt(scratch + state_floats, rows, dim);
  float* queries = scratch + 2 * state_floats;
  const auto kept = [&](int partition) {
    return StateAt(reinterpret_cast<float*>(plan.states_.data()) + tile.states + partition * state_floats,
                   rows, dim);
  };
  float* scales = queries + static_cast<std::ptrdiff_t>(rows) * dim;
  PackQueries(args, plan, tile, queries, scales);
  const int first = std::max(item.first, first_seen);
  for (int p = first; p < item.last; ++p) {
    const AttentionState state = tile.items > 1 ? kept(p) : (p == first ? running : next);
    for (int r = 0; r < rows; r += kMaxAttentionRows)
      AttendRows(
          args, tile,
          {p, p + 1 < item.last, r, std::min(kMaxAttentionRows, rows - r), queries + r * dim, scales + r},
          RowsFrom(state, r));
    if (tile.items == 1 && p > first) kernels_.merge(running, next, rows, dim);
  }
  if (tile.items == 1) return FinishTile(args, plan, tile, running);

  // Who completes a tile that was split merges it, in ascending order, and opens it for the next layer.
  if (plan.open_[item.tile].fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  plan.open_[item.tile].store(tile.items, std::memory_order_relaxed);
  for (int p = first_seen + 1; p < tile.partitions; ++p) kernels_.merge(kept(first_seen), kept(p), rows, dim);
  FinishTile(args, plan, tile, kept(first_seen));
}

Status CpuAttention::Run(const AttentionArgs& args) {
  const auto& plan = static_cast<const CpuAttentionPlan&>(*args.plan);
  const int dim = plan.shape_.head_dim;
  const int rows = std::max(kTileQueryRows, Group(plan.shape_));
  // Two states, the queries and their scales, a cache line apart from the next thread's.
  const std::size_t floats =
      (2 * StateFloats(rows, dim) + static_cast<std::size_t>(rows) * (dim + 1) + 31) / 16 * 16;
  RETURN_IF_ERROR(scratch_.Reserve(floats * sizeof(float) * threads_.num_threads()));
  threads_.ParallelFor(static_cast<int>(plan.items_.size()), 1, [&](int begin, int end, int thread) {
    for (int i = begin; i < end; ++i)
      RunItem(args, plan, i, reinterpret_cast<float*>(scratch_.data()) + floats * thread);
  });
  return OkStatus();
}

}  // namespace reprise
