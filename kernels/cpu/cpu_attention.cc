#include "kernels/cpu/cpu_attention.h"

#include <algorithm>

#include "kernels/cpu/kv_cache.h"

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

// Rows [first_row, first_row + rows) of the tile over one partition.
void CpuAttention::AttendRows(const AttentionArgs& args, const CpuAttentionPlan::Tile& tile, int partition,
                              int first_row, int rows, const float* queries,
                              const AttentionState& state) const {
  const KvGeometry& geometry = args.kv.geometry;
  const int begin = partition * kPartition;
  const int group = args.queries.columns / geometry.head_dim / geometry.num_kv_heads;
  AttendPartition work;
  work.queries = queries;
  work.rows = rows;
  work.head_dim = geometry.head_dim;
  work.type = geometry.type;
  work.scale = args.scale;
  work.state = state;
  int first = kPartition;
  int last = -1;
  for (int r = 0; r < rows; ++r) {
    const Range range = Visible(args, tile.sequence, tile.first_token + (first_row + r) / group);
    work.first[r] = std::clamp(range.first - begin, 0, kPartition);
    work.last[r] = std::min(range.last - begin, kPartition - 1);
    if (work.last[r] < work.first[r]) continue;
    first = std::min(first, work.first[r]);
    last = std::max(last, work.last[r]);
  }
  const std::byte* keys[kPartitionTiles + kTilesAhead] = {};
  const std::byte* values[kPartitionTiles + kTilesAhead] = {};
  const BlockId* blocks = args.batch->block_ids.data() + args.batch->block_start[tile.sequence];
  const int end = Visible(args, tile.sequence, tile.first_token + tile.tokens - 1).last + 1;
  const int tiles = std::min(last / kKeyTile + 1 + kTilesAhead, (end - begin - 1) / kKeyTile + 1);
  for (int t = first / kKeyTile; last >= 0 && t < kPartitionTiles + kTilesAhead; ++t) {
    if (t >= tiles) {  // a null pointer would be fetched as slowly as any unmapped page
      keys[t] = keys[t - 1];
      values[t] = values[t - 1];
      continue;
    }
    const int position = begin + t * kKeyTile;
    const std::size_t offset = KvTileOffset(geometry, blocks[position / geometry.block_size], tile.kv_head,
                                            position % geometry.block_size / kKeyTile);
    keys[t] = args.kv.keys + offset;
    values[t] = args.kv.values + offset;
  }
  work.key_tiles = keys;
  work.value_tiles = values;
  kernels_.attend(work);
}

// Queries of the tile's rows: for each few rows that are computed together, [head_dim][rows].
void CpuAttention::PackQueries(const AttentionArgs& args, const CpuAttentionPlan& plan,
                               const CpuAttentionPlan::Tile& tile, float* packed) const {
  const int dim = plan.shape_.head_dim;
  const int group = Group(plan.shape_);
  const int rows = tile.tokens * group;
  for (int first = 0; first < rows; first += kMaxAttentionRows) {
    const int together = std::min(kMaxAttentionRows, rows - first);
    for (int r = 0; r < together; ++r) {
      const float* query = args.queries.row(tile.first_token + (first + r) / group) +
                           (tile.kv_head * group + (first + r) % group) * dim;
      for (int d = 0; d < dim; ++d) packed[d * together + r] = query[d];
    }
    packed += together * dim;
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
  PackQueries(args, plan, tile, queries);
  const int first = std::max(item.first, first_seen);
  for (int p = first; p < item.last; ++p) {
    const AttentionState state = tile.items > 1 ? kept(p) : (p == first ? running : next);
    for (int r = 0; r < rows; r += kMaxAttentionRows)
      AttendRows(args, tile, p, r, std::min(kMaxAttentionRows, rows - r), queries + r * dim,
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
  // Two states and the queries, a cache line apart from the next thread's.
  const std::size_t floats =
      (2 * StateFloats(rows, dim) + static_cast<std::size_t>(rows) * dim + 31) / 16 * 16;
  RETURN_IF_ERROR(scratch_.Reserve(floats * sizeof(float) * threads_.num_threads()));
  threads_.ParallelFor(static_cast<int>(plan.items_.size()), 1, [&](int begin, int end, int thread) {
    for (int i = begin; i < end; ++i)
      RunItem(args, plan, i, reinterpret_cast<float*>(scratch_.data()) + floats * thread);
  });
  return OkStatus();
}

}  // namespace reprise
