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

  // `rope`, if given, is done on the way; only where the plan's tiles store what they read.
  Status Run(const AttentionArgs& args, const RopeAndStoreKvArgs* rope);

 private:
  // Some rows of a tile over one of its partitions.
  struct RowBlock {
    int first_row;
    int rows;
    bool fetch;            // what comes after the partition
    const float* queries;  // as AttendPartition has them
    const float* scales;
  };

  // Queries of a tile as AttendPartition has them.
  struct PackedQueries {
    float* words;   // for each few rows that are computed together
    float* scales;  // of each row
    float* head;    // scratch
  };

  void RunItem(const AttentionArgs& args, const RopeAndStoreKvArgs* rope, int item, TileWalk& walk,
               float* scratch) const;
  void StoreKv(const AttentionArgs& args, const RopeAndStoreKvArgs& rope, const CpuAttentionPlan::Item& item,
               const CpuAttentionPlan::Tile& tile, float* key) const;
  void PackQueries(const AttentionArgs& args, const RopeAndStoreKvArgs* rope,
                   const CpuAttentionPlan::Tile& tile, const PackedQueries& packed) const;
  void PackQuery(const AttentionArgs& args, const float* query, int together, float* words,
                 float* scale) const;
  void FinishTile(const AttentionArgs& args, const CpuAttentionPlan& plan, const CpuAttentionPlan::Tile& tile,
                  const AttentionState& state) const;
  void AttendRows(const AttentionArgs& args, const CpuAttentionPlan::Tile& tile, SeenTiles seen,
                  const TileWalk& walk, const RowBlock& block, const AttentionState& state) const;

  const KernelTable& kernels_;
  ThreadPool& threads_;
  std::vector<TileWalk> walks_;  // of each thread
  Workspace scratch_;
};

}  // namespace reprise
