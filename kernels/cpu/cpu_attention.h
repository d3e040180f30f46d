// The CPU backend's attention over the paged cache. Work is cut by sequence, KV head and a few tokens; all
// query heads of a KV head share each key and value that is loaded. Long contexts are also cut by partition
// (kernel_table.h): what a cut cannot change is a bit of the result.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/workspace.h"

namespace reprise {

class CpuAttentionPlan final : public AttentionPlan {
 public:
  explicit CpuAttentionPlan(const AttentionShape& shape) : shape_(shape) {}

  // Allocates only when a step is larger than all before. RESOURCE_EXHAUSTED when there is no memory.
  Status Plan(const BatchView& batch, int num_threads);

 private:
  friend class CpuAttention;

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

  void AddSequence(const BatchView& batch, int sequence);
  void CutTile(int tile, std::int64_t largest);

  AttentionShape shape_;
  std::vector<Tile> tiles_;
  std::vector<Item> items_;
  std::size_t state_floats_ = 0;
  Workspace states_;                            // of the partitions of tiles that are split
  mutable std::vector<std::atomic<int>> open_;  // per tile: items still to be computed in this layer
};

class CpuAttention {
 public:
  CpuAttention(const KernelTable& kernels, ThreadPool* threads) : kernels_(kernels), threads_(*threads) {}

  Status Run(const AttentionArgs& args);

 private:
  // Some rows of a tile over one of its partitions.
  struct RowBlock {
    int partition;
    bool fetch_next;  // the partition after it is next
    int first_row;
    int rows;
    const float* queries;  // as AttendPartition has them
    const float* scales;
  };

  void RunItem(const AttentionArgs& args, const CpuAttentionPlan& plan, int item, float* scratch) const;
  void PackQueries(const AttentionArgs& args, const CpuAttentionPlan& plan,
                   const CpuAttentionPlan::Tile& tile, float* packed, float* scales) const;
  void FinishTile(const AttentionArgs& args, const CpuAttentionPlan& plan, const CpuAttentionPlan::Tile& tile,
                  const AttentionState& state) const;
  void LocateTiles(const AttentionArgs& args, const CpuAttentionPlan::Tile& tile, int begin, int first,
                   int last, const std::byte** keys, const std::byte** values) const;
  void AttendRows(const AttentionArgs& args, const CpuAttentionPlan::Tile& tile, const RowBlock& block,
                  const AttentionState& state) const;

  const KernelTable& kernels_;
  ThreadPool& threads_;
  Workspace scratch_;
};

}  // namespace reprise
