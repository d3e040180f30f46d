// How the CPU backend cuts a step's attention: by sequence, KV head and a few tokens; all query heads of a KV
// head share each key and value that is loaded. Long contexts are also cut by partition (kernel_table.h):
// what a cut cannot change is a bit of the result.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/workspace.h"

namespace reprise {

class CpuAttentionPlan final : public AttentionPlan {
 public:
  explicit CpuAttentionPlan(const AttentionShape& shape) : shape_(shape) {}

  // Allocates only when a step is larger than all before. RESOURCE_EXHAUSTED when there is no memory.
  Status Plan(const BatchView& batch, int num_threads);

  // Some consecutive tokens of a sequence with all query heads of one KV head.
  struct Tile {
    int sequence;
    int first_token;  // in the step
    int tokens;
    int kv_head;
    int partitions;         // that the last token sees without a sliding window
    std::ptrdiff_t states;  // offset in floats of its partitions' states; -1: not split
    int items;              // it is cut into
  };
  // Partitions [first, last) of a tile.
  struct Item {
    int tile;
    int first;
    int last;
  };

 private:
  friend class CpuAttention;
  friend class TileWalk;

  void AddSequence(const BatchView& batch, int sequence);
  void CutTile(int tile, std::int64_t largest);
  int group() const { return shape_.num_heads / shape_.num_kv_heads; }  // query heads of a KV head
  int max_rows() const;                                                 // tokens * group() of a tile

  AttentionShape shape_;
  std::vector<Tile> tiles_;
  std::vector<Item> items_;
  std::size_t state_floats_ = 0;
  Workspace states_;                            // of the partitions of tiles that are split
  mutable std::vector<std::atomic<int>> open_;  // per tile: items still to be computed in this layer
};

// The positions a token of the step sees.
struct VisibleRange {
  int first;
  int last;
};
VisibleRange Visible(const AttentionArgs& args, int sequence, int token);

// Of an AttentionState: floats from a row's values to the next row's, and floats in all.
int StateStride(int head_dim);
std::size_t StateFloats(int rows, int head_dim);

}  // namespace reprise
