// The CPU backend's matmul: activations are prepared once for all weight rows, then groups of 32 weight rows
// are handed out to the threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/cpu/cpu_weight.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/workspace.h"

namespace reprise {

class CpuMatMul {
 public:
  CpuMatMul(const KernelTable& kernels, ThreadPool* threads) : kernels_(kernels), threads_(*threads) {}

  // RESOURCE_EXHAUSTED when there is no memory for the activations.
  Status Run(const MatMulArgs& args);

 private:
  // The step's rows in one activation form, cut into panels of nearly equal numbers of rows. What follows
  // from the counts is kept: it is needed for every group.
  struct PanelSet {
    ActivationKind kind;
    int offset;  // of the weights' codes
    int rows;    // of the step
    int panels;
    int panel_rows;     // of a panel
    int larger_panels;  // the first of them, which have one row more
    std::size_t tile_row_bytes;
    std::size_t bytes_per_row;
    std::byte* data;

    int FirstRow(int panel) const { return panel * panel_rows + std::min(panel, larger_panels); }
    int Rows(int panel) const { return panel_rows + (panel < larger_panels ? 1 : 0); }
    int PanelOfRow(int row) const;
    std::byte* Panel(int panel) const { return data + FirstRow(panel) * bytes_per_row; }
  };
  // Panels [first, last) are multiplied in one pass over the weights.
  struct Pass {
    int first;
    int last;
  };

  // A group of weight rows and the activations it is multiplied with. The second product of a MatMul resumes
  // the first one's sums, so both have their rows cut into the same panels.
  struct Product {
    const TileLayout* layout;
    const MatMulKernel* kernels;  // by panel rows
    const std::byte* group;
    int tiles;
    const PanelSet* set;
    bool resumes;   // sums that another product began
    bool finishes;  // nothing is added after it
  };

  // Tiles [first_tile, last_tile) of a group. To be passed by reference: a copy reads in one what has just
  // been written in parts, and so waits for all stores before it, the last group's output among them.
  struct Chunk {
    int first_tile;
    int last_tile;
    int next_tiles;  // of the chunk that is multiplied after it
    bool only;       // all that goes into the sums
    bool resume;     // sums have been begun
    bool last;
  };
  struct SumsTarget {
    bool direct;     // into the output
    int column;      // of the output
    int columns;     // that exist
    float* scratch;  // [rows of a pass][32]
  };

  Status Prepare(const MatMulArgs& args);
  PanelSet MakePanelSet(WeightType type, int rows, int tiles, int panel_rows) const;
  void WriteRows(const MatMulArgs& args, int row, int thread) const;
  void WriteRow(std::span<const PanelSet> sets, int row, const float* x, int columns, int thread) const;
  void FetchFirstWeights(const CpuWeight& weight, int piece, int row, int rows, int thread) const;
  void MultiplyGroup(const MatMulArgs& args, int group, int done, int thread) const;
  void MultiplyProduct(const MatMulArgs& args, const Product& product, const Pass& pass,
                       const SumsTarget& target) const;
  void MultiplyChunk(const MatMulArgs& args, const Product& product, const Chunk& chunk, const Pass& pass,
                     const SumsTarget& target) const;
  SumsTarget TargetOf(const MatMulArgs& args, const CpuWeight::Part& part, int group, int thread) const;
  float* ThreadSums(int thread) const;
  float* ThreadRow(int thread) const;

  const KernelTable& kernels_;
  ThreadPool& threads_;
  std::vector<PanelSet> sets_;  // one for each activation form the current weight needs; then the second's
  std::size_t first_sets_ = 0;  // of them, those of the first product
  std::vector<int> set_of_part_;
  Workspace panels_;
  Workspace scratch_;           // per thread: sums of a pass, then a row
  std::size_t row_floats_ = 0;  // of the longer product, in whole tiles
};

}  // namespace reprise
