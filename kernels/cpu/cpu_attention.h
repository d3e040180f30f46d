// The CPU backend's attention over the paged cache: runs what cpu_attention_plan.h cut.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/cpu/cpu_attention_plan.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/tile_walk.h"
#include "kernels/cpu/workspace.h"

namespace reprise {

class CpuAttention {
 public:
  CpuAttention(const KernelTable& kernels, ThreadPool* threads)
      : kernels_(kernels), threads_(*threads), walks_(threads->num_threads()) {}

  Status Run(const AttentionArgs& args);

 private:
  // Some rows of a tile over one of its partitions.
  struct RowBlock {
    int first_row;
    int rows;
    bool fetch;            // what is read next
    const float* queries;  // as AttendPartition has them
    const float* scales;
  };

  void RunItem(const AttentionArgs& args, const CpuAttentionPlan& plan, int item, TileWalk& walk,
               float* scratch) const;
  void PackQueries(const AttentionArgs& args, const CpuAttentionPlan& plan,
                   const CpuAttentionPlan::Tile& tile, float* packed, float* scales) const;
  void MergeStates(const AttentionState& first, int count, int rows, int dim) const;
  void FinishTile(const AttentionArgs& args, const CpuAttentionPlan& plan, const CpuAttentionPlan::Tile& tile,
                  const AttentionState& state) const;
  void AttendRows(const AttentionArgs& args, const CpuAttentionPlan::Tile& tile, SeenTiles seen,
                  TileWalk& walk, const RowBlock& block, const AttentionState& state) const;

  const KernelTable& kernels_;
  ThreadPool& threads_;
  std::vector<TileWalk> walks_;  // of each thread
  Workspace scratch_;
};

}  // namespace reprise
