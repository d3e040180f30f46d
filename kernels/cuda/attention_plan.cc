#include "kernels/cuda/attention_plan.h"

#include <algorithm>
#include <bit>
#include <span>

namespace reprise::cuda {
namespace {

constexpr int RoundUpDivide(int value, int divisor) {
  return (value + divisor - 1) / divisor;
}

// A length with few distinct values, so that steps of one kind have grids of one size: a graph is captured for
// each size. At most a quarter is added.
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

}  // namespace

void CudaAttentionPlan::AddSplit(int sequence, int rows, int keys) {
  const int tiles = RoundUpDivide(keys, kKeyTile);
  for (int row = 0; row < rows; row += kRowTile) {
    const int count = std::min(kRowTile, rows - row);
    if (tiles > 1) merge_items_.push_back({sequence, row, count, num_partials_, tiles});
    for (int tile = 0; tile < tiles; ++tile) {
      split_items_.push_back({sequence, row, tile, 1, tiles > 1 ? num_partials_ : -1});
      if (tiles > 1) num_partials_ += count;
    }
  }
}

void CudaAttentionPlan::AddPrefill(int sequence, int rows, int context) {
  const int group = shape_.num_heads / shape_.num_kv_heads;
  for (int row = 0; row < rows; row += kPrefillWarps * kRowTile) {
    const int last_row = std::min(rows, row + kPrefillWarps * kRowTile) - 1;
    const int keys = context + last_row / group + 1;  // that the last row sees
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
  const int group = shape_.num_heads / shape_.num_kv_heads;
  for (int s = 0; s < batch.num_sequences(); ++s) {
    const int tokens = query_start_[s + 1] - query_start_[s];
    if (tokens <= kMaxSplitTokens) {
      AddSplit(s, tokens * group, context_len_[s] + tokens);
    } else {
      AddPrefill(s, tokens * group, context_len_[s]);
    }
  }
  PadToBucket(&split_items_);
  PadToBucket(&prefill_items_);
  PadToBucket(&merge_items_);
  num_partials_ = BucketSize(num_partials_);
  is_staged_ = false;
}

const CudaAttentionPlan::Staged& CudaAttentionPlan::Stage(Stream& stream) const {
  if (is_staged_ && staged_generation_ == stream.generation()) return staged_;
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
