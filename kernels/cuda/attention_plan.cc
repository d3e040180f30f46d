#include "kernels/cuda/attention_plan.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <span>

namespace reprise::cuda {
namespace {

constexpr int RoundUpDivide(int value, int divisor) {
  return (value + divisor - 1) / divisor;
}

// A length with few distinct values, so that steps of one kind have grids of one size: a graph is captured
// for each size. At most a quarter is added.
int BucketSize(int size) {
  if (size <= 4) return size;
  const int step = static_cast<int>(std::bit_floor(static_cast<unsigned>(size - 1))) / 4;
  return RoundUpDivide(size, step) * step;
}

// The added items do nothing.
template <typename Item>
void PadToBucket(std::vector<Item>* items) {
  items->resize(BucketSize(static_cast<int>(items->size())));
}

template <typename T>
std::size_t RoomFor(const std::vector<T>& values) {
  return StepStaging::RoomFor(values.size() * sizeof(T));
}

int GroupOf(const AttentionShape& shape) {
  return shape.num_heads / shape.num_kv_heads;
}

constexpr int kPrefillRows = kPrefillWarps * kRowTile;

}  // namespace

AttentionBounds BoundAttention(const AttentionShape& shape, const StepLimits& limits, int max_partials) {
  const int group = GroupOf(shape);
  const int tiles = RoundUpDivide(limits.max_context, kKeyTile);
  const int few_tokens = std::min(limits.max_tokens, kMaxSplitTokens * limits.max_sequences);
  // A sequence's rows are `group` for each token, and so many tiles of rows at most.
  const int row_tiles = RoundUpDivide(group, kRowTile);
  AttentionBounds bounds;
  if (tiles > 1)
    bounds.num_partials =
        static_cast<int>(std::min<std::int64_t>(max_partials, std::int64_t{few_tokens} * group * tiles));
  const int merge_items = few_tokens * row_tiles;
  const int split_items = merge_items + bounds.num_partials / group * row_tiles;
  const int prefill_items =
      RoundUpDivide(limits.max_tokens * group, kPrefillRows) + limits.max_tokens / (kMaxSplitTokens + 1);
  const std::size_t blocks = static_cast<std::size_t>(limits.max_sequences) *
                             static_cast<std::size_t>(RoundUpDivide(limits.max_context, limits.block_size));
  const auto room = [](std::size_t count, std::size_t bytes) { return StepStaging::RoomFor(count * bytes); };
  bounds.staging_room = room(BucketSize(split_items), sizeof(AttentionItem)) +
                        room(BucketSize(prefill_items), sizeof(AttentionItem)) +
                        room(BucketSize(merge_items), sizeof(MergeItem)) +
                        3 * room(limits.max_sequences + 1, sizeof(int)) + room(blocks, sizeof(BlockId));
  return bounds;
}

int CudaAttentionPlan::NumTokens(int sequence) const {
  return query_start_[sequence + 1] - query_start_[sequence];
}
int CudaAttentionPlan::NumRows(int sequence) const {
  return NumTokens(sequence) * GroupOf(shape_);
}
int CudaAttentionPlan::NumTiles(int sequence) const {
  return RoundUpDivide(context_len_[sequence] + NumTokens(sequence), kKeyTile);
}

void CudaAttentionPlan::ChooseSplits() {
  few_tokens_.clear();
  is_split_.assign(context_len_.size(), 0);
  for (int s = 0; s < static_cast<int>(context_len_.size()); ++s) {
    if (NumTokens(s) <= kMaxSplitTokens) few_tokens_.push_back(s);
  }
  std::ranges::stable_sort(few_tokens_, std::greater(), [this](int s) { return NumTiles(s); });
  int room = max_partials_;
  for (const int s : few_tokens_) {
    const int partials = NumRows(s) * NumTiles(s);
    if (NumTiles(s) == 1 || partials > room) continue;
    is_split_[s] = 1;
    room -= partials;
  }
}

void CudaAttentionPlan::AddFewTokens(int sequence) {
  const int rows = NumRows(sequence);
  const int tiles = NumTiles(sequence);
  for (int row = 0; row < rows; row += kRowTile) {
    if (is_split_[sequence] == 0) {
      split_items_.push_back({sequence, row, 0, tiles, -1});
      continue;
    }
    const int count = std::min(kRowTile, rows - row);
    merge_items_.push_back({sequence, row, count, num_partials_, tiles});
    for (int tile = 0; tile < tiles; ++tile) {
      split_items_.push_back({sequence, row, tile, 1, num_partials_});
      num_partials_ += count;
    }
  }
}

void CudaAttentionPlan::AddPrefill(int sequence) {
  const int rows = NumRows(sequence);
  for (int row = 0; row < rows; row += kPrefillRows) {
    const int last_row = std::min(rows, row + kPrefillRows) - 1;
    const int keys = context_len_[sequence] + last_row / GroupOf(shape_) + 1;  // that the last row sees
    prefill_items_.push_back({sequence, row, 0, RoundUpDivide(keys, kKeyTile), -1});
  }
}

void CudaAttentionPlan::Plan(const BatchView& batch) {
  split_items_.clear();
  prefill_items_.clear();
  merge_items_.clear();
  num_partials_ = 0;
  query_start_.assign(batch.query_start.begin(), batch.query_start.end());
  context_len_.assign(batch.context_len.begin(), batch.context_len.end());
  block_start_.assign(batch.block_start.begin(), batch.block_start.end());
  block_ids_.assign(batch.block_ids.begin(), batch.block_ids.end());
  ChooseSplits();
  for (int s = 0; s < batch.num_sequences(); ++s) {
    if (NumTokens(s) <= kMaxSplitTokens) {
      AddFewTokens(s);
    } else {
      AddPrefill(s);
    }
  }
  PadToBucket(&split_items_);
  PadToBucket(&prefill_items_);
  PadToBucket(&merge_items_);
  is_staged_ = false;
}

std::size_t CudaAttentionPlan::StagingRoom() const {
  return RoomFor(split_items_) + RoomFor(prefill_items_) + RoomFor(merge_items_) + RoomFor(query_start_) +
         RoomFor(context_len_) + RoomFor(block_start_) + RoomFor(block_ids_);
}

const CudaAttentionPlan::Staged& CudaAttentionPlan::Stage(Stream& stream) const {
  if (is_staged_ && staged_generation_ == stream.generation()) return staged_;
  stream.MakeRoom(StagingRoom());
  staged_.split_items = stream.Stage(std::span(split_items_));
  staged_.prefill_items = stream.Stage(std::span(prefill_items_));
  staged_.merge_items = stream.Stage(std::span(merge_items_));
  staged_.query_start = stream.Stage(std::span(query_start_));
  staged_.context_len = stream.Stage(std::span(context_len_));
  staged_.block_start = stream.Stage(std::span(block_start_));
  staged_.block_ids = stream.Stage(std::span(block_ids_));
  staged_generation_ = stream.generation();
  is_staged_ = true;
  return staged_;
}

}  // namespace reprise::cuda
