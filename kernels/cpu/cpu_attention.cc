#include "kernels/cpu/cpu_attention.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/kv_int8.h"

namespace reprise {
namespace {

AttentionState StateAt(float* memory, int rows, int head_dim) {
  return {memory, memory + rows, memory + 2 * rows, StateStride(head_dim)};
}
AttentionState RowsFrom(const AttentionState& state, int row) {
  return {state.maximum + row, state.sum + row,
          state.values + static_cast<std::ptrdiff_t>(row) * state.stride, state.stride};
}

}  // namespace

void CpuAttention::AttendRows(const AttentionArgs& args, const CpuAttentionPlan::Tile& tile, SeenTiles seen,
                              TileWalk& walk, const RowBlock& block, const AttentionState& state) const {
  const KvGeometry& geometry = args.kv.geometry;
  const int group = args.queries.columns / geometry.head_dim / geometry.num_kv_heads;
  const int begin = seen.first * kKeyTile;
  const int positions = seen.count * kKeyTile;
  AttendPartition work;
  work.queries = block.queries;
  work.rows = block.rows;
  work.head_dim = geometry.head_dim;
  work.type = geometry.type;
  std::copy_n(block.scales, block.rows, work.score_scale);
  work.key_tiles = walk.tiles();
  work.value_tiles = walk.tiles() + seen.count;
  for (int r = 0; r < block.rows; ++r) {
    const VisibleRange range = Visible(args, tile.sequence, tile.first_token + (block.first_row + r) / group);
    work.first[r] = std::clamp(range.first - begin, 0, positions);
    work.last[r] = std::min(range.last - begin, positions - 1);
  }
  if (block.fetch) {
    const auto ahead = walk.FetchNext(2 * seen.count);
    work.ahead = ahead.data();
    work.ahead_tiles = static_cast<int>(ahead.size());
  }
  work.state = state;
  kernels_.attend(work);
}

// Queries of the tile's rows, for each few rows that are computed together as AttendPartition has them, and
// what their scores are scaled by.
void CpuAttention::PackQueries(const AttentionArgs& args, const CpuAttentionPlan& plan,
                               const CpuAttentionPlan::Tile& tile, float* packed, float* scales) const {
  const int dim = plan.shape_.head_dim;
  const int group = plan.group();
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

// Merges the states of `count` consecutive partitions into the first. Another thread may have written some:
// their lines are asked for all at once.
void CpuAttention::MergeStates(const AttentionState& first, int count, int rows, int dim) const {
  const auto stride = static_cast<std::ptrdiff_t>(StateFloats(rows, dim));
  const float* memory = first.maximum;
  for (std::ptrdiff_t i = 0; i < count * stride; i += 16) __builtin_prefetch(memory + i);
  kernels_.merge({.to = first,
                  .from = StateAt(first.maximum + stride, rows, dim),
                  .stride = stride,
                  .count = count - 1,
                  .rows = rows,
                  .head_dim = dim});
}

void CpuAttention::FinishTile(const AttentionArgs& args, const CpuAttentionPlan& plan,
                              const CpuAttentionPlan::Tile& tile, const AttentionState& state) const {
  const int dim = plan.shape_.head_dim;
  const int group = plan.group();
  for (int r = 0; r < tile.tokens * group; ++r) {
    float* out = args.out.row(tile.first_token + r / group) + (tile.kv_head * group + r % group) * dim;
    kernels_.finish(state, r, dim, out);
  }
}

void CpuAttention::RunItem(const AttentionArgs& args, const CpuAttentionPlan& plan, int index, TileWalk& walk,
                           float* scratch) const {
  const CpuAttentionPlan::Item& item = plan.items_[index];
  const CpuAttentionPlan::Tile& tile = plan.tiles_[item.tile];
  const int dim = plan.shape_.head_dim;
  const int rows = tile.tokens * plan.group();
  const std::size_t state_floats = StateFloats(rows, dim);

  const AttentionState running = StateAt(scratch, rows, dim);
  const AttentionState next = StateAt(scratch + state_floats, rows, dim);
  float* queries = scratch + 2 * state_floats;
  const auto kept = [&](int partition) {
    return StateAt(reinterpret_cast<float*>(plan.states_.data()) + tile.states + partition * state_floats,
                   rows, dim);
  };
  float* scales = queries + static_cast<std::ptrdiff_t>(rows) * dim;
  PackQueries(args, plan, tile, queries, scales);
  walk.BeginItem(index);
  const int first = FirstPartition(args, tile, item);
  for (int p = first; p < item.last; ++p) {
    const AttentionState state = tile.items > 1 ? kept(p) : (p == first ? running : next);
    const SeenTiles seen = TilesSeen(args, tile, p);
    for (int r = 0; r < rows; r += kMaxAttentionRows) {
      const int block_rows = std::min(kMaxAttentionRows, rows - r);
      AttendRows(args, tile, seen, walk, {r, block_rows, r == 0, queries + r * dim, scales + r},
                 RowsFrom(state, r));
    }
    walk.LeavePartition(2 * seen.count);
    if (tile.items == 1 && p > first)
      kernels_.merge({.to = running, .from = next, .rows = rows, .head_dim = dim});
  }
  walk.EndItem();
  if (tile.items == 1) return FinishTile(args, plan, tile, running);

  // Who completes a tile that was split merges it, in ascending order, and opens it for the next layer.
  if (plan.open_[item.tile].fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  plan.open_[item.tile].store(tile.items, std::memory_order_relaxed);
  const int first_seen = Visible(args, tile.sequence, tile.first_token).first / kPartition;
  MergeStates(kept(first_seen), tile.partitions - first_seen, rows, dim);
  FinishTile(args, plan, tile, kept(first_seen));
}

Status CpuAttention::Run(const AttentionArgs& args) {
  const auto& plan = static_cast<const CpuAttentionPlan&>(*args.plan);
  const int dim = plan.shape_.head_dim;
  const int rows = plan.max_rows();
  // Two states, the queries and their scales, a cache line apart from the next thread's.
  const std::size_t floats =
      (2 * StateFloats(rows, dim) + static_cast<std::size_t>(rows) * (dim + 1) + 31) / 16 * 16;
  RETURN_IF_ERROR(scratch_.Reserve(floats * sizeof(float) * threads_.num_threads()));
  // Each thread has its own share of the items (ThreadPool).
  const auto items = std::ssize(plan.items_);
  const int threads = threads_.num_threads();
  for (int t = 0; t < threads; ++t) walks_[t].Reset(args, plan, static_cast<int>(items * (t + 1) / threads));
  threads_.ParallelFor(static_cast<int>(items), 1, [&](int begin, int end, int thread) {
    for (int i = begin; i < end; ++i)
      RunItem(args, plan, i, walks_[thread], reinterpret_cast<float*>(scratch_.data()) + floats * thread);
  });
  return OkStatus();
}

}  // namespace reprise
