// Who attends to what in one step: the work list of the attention kernels, made on the host once a step.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/stream.h"

namespace reprise::cuda {

// Keys that attention takes at a time. Part of the definition of its result: each tile has its own maximum
// and sum, and tiles are merged in ascending order, wherever that happens.
inline constexpr int kKeyTile = 64;
// Rows of a tensor-core tile. A row is one query head of one token; a sequence's rows for one kv head are
// ordered by token, then by head within the group that shares it.
inline constexpr int kRowTile = 16;
// Up to here a sequence's tokens are too few to fill the device: its keys are split over blocks.
inline constexpr int kMaxSplitTokens = 16;
inline constexpr int kPrefillWarps = 4;

// What one block does, for every kv head.
struct AttentionItem {
  int sequence = -1;  // -1: nothing
  int first_row = 0;
  int first_tile = 0;  // of keys
  int num_tiles = 0;
  int partial_row = -1;  // where the first row's partial result goes; -1: straight to the output
};

// Rows whose partial results, one for each key tile, are to be merged.
struct MergeItem {
  int sequence = -1;  // -1: nothing
  int first_row = 0;
  int num_rows = 0;
  int first_partial = 0;  // of row r and tile i: first_partial + i * num_rows + r
  int num_partials = 0;
};

class CudaAttentionPlan final : public AttentionPlan {
 public:
  explicit CudaAttentionPlan(const AttentionShape& shape) : shape_(shape) {}

  void Plan(const BatchView& batch);

  // Device addresses of the plan's arrays, good for the commands of the current flush; staged anew when an
  // operation in between had to flush.
  struct Staged {
    const AttentionItem* split_items;
    const AttentionItem* prefill_items;
    const MergeItem* merge_items;
    const int* query_start;
    const int* context_len;
    const int* block_start;
    const BlockId* block_ids;
  };
  const Staged& Stage(Stream& stream) const;

  const AttentionShape& shape() const { return shape_; }
  int num_split_items() const { return static_cast<int>(split_items_.size()); }
  int num_prefill_items() const { return static_cast<int>(prefill_items_.size()); }
  int num_merge_items() const { return static_cast<int>(merge_items_.size()); }
  // Partial results for each kv head, rounded up so that the memory for them seldom grows.
  int num_partials() const { return num_partials_; }

 private:
  void AddSplit(int sequence, int rows, int keys);
  void AddPrefill(int sequence, int rows, int context);

  const AttentionShape shape_;
  std::vector<AttentionItem> split_items_, prefill_items_;
  std::vector<MergeItem> merge_items_;
  std::vector<int> query_start_, context_len_, block_start_;
  std::vector<BlockId> block_ids_;
  int num_partials_ = 0;
  mutable Staged staged_ = {};
  mutable std::uint64_t staged_generation_ = 0;
  mutable bool is_staged_ = false;
};

}  // namespace reprise::cuda
