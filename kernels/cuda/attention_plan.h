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

// What a plan within the limits needs at most.
struct AttentionBounds {
  int num_partials = 0;          // for each kv head
  std::size_t staging_room = 0;  // of StepStaging
};
AttentionBounds BoundAttention(const AttentionShape& shape, const StepLimits& limits, int max_partials);

class CudaAttentionPlan final : public AttentionPlan {
 public:
  // For each kv head there is room for `max_partials` partial results. Sequences that find none are not
  // split: the shortest ones.
  CudaAttentionPlan(const AttentionShape& shape, int max_partials)
      : shape_(shape), max_partials_(max_partials) {}

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
  // That the arrays take in staging.
  std::size_t StagingRoom() const;

  const AttentionShape& shape() const { return shape_; }
  int num_split_items() const { return static_cast<int>(split_items_.size()); }
  int num_prefill_items() const { return static_cast<int>(prefill_items_.size()); }
  int num_merge_items() const { return static_cast<int>(merge_items_.size()); }
  // Partial results for each kv head.
  int num_partials() const { return num_partials_; }

 private:
  int NumTokens(int sequence) const;
  int NumRows(int sequence) const;
  int NumTiles(int sequence) const;
  // Which of the sequences with few tokens are split: the longest first.
  void ChooseSplits();
  void AddFewTokens(int sequence);
  void AddPrefill(int sequence);

  const AttentionShape shape_;
  const int max_partials_;
  std::vector<AttentionItem> split_items_, prefill_items_;
  std::vector<MergeItem> merge_items_;
  std::vector<int> query_start_, context_len_, block_start_;
  std::vector<BlockId> block_ids_;
  int num_partials_ = 0;
  std::vector<int> few_tokens_;  // scratch: sequences
  std::vector<char> is_split_;   // by sequence
  mutable Staged staged_ = {};
  mutable std::uint64_t staged_generation_ = 0;
  mutable bool is_staged_ = false;
};

}  // namespace reprise::cuda
