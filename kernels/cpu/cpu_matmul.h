// The CPU backend's matmul: activations are prepared once for all weight rows, then groups of 32 weight rows
// are handed out to the threads.
#pragma once

#include <algorithm>
#include <cstddef>
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
  // The step's rows in one activation form, cut into panels of nearly equal numbers of rows.
  struct PanelSet {
    ActivationKind kind;
    int offset;  // of the weights' codes
    int rows;    // of the step
    int panels;
    std::size_t bytes_per_row;
    std::byte* data;

    int FirstRow(int panel) const { return panel * (rows / panels) + std::min(panel, rows % panels); }
    int Rows(int panel) const { return rows / panels + (panel < rows % panels ? 1 : 0); }
    int PanelOfRow(int row) const;
    std::byte* Panel(int panel) const { return data + FirstRow(panel) * bytes_per_row; }
  };
  // Panels [first, last) are multiplied in one pass over the weights.
  struct Pass {
    const PanelSet* set;
    int first;
    int last;
  };

  // Tiles [first_tile, last_tile) of a group.
  struct Chunk {
    int first_tile;
    int last_tile;
    bool only;
    bool last;
  };
  struct SumsTarget {
    bool direct;     // into the output
    int column;      // of the output
    int columns;     // that exist
    float* scratch;  // [rows of a pass][32]
  };

  Status Prepare(const MatMulArgs& args);
  PanelSet MakePanelSet(WeightType type, int rows, int tiles) const;
  void WriteRow(const MatMulArgs& args, int row, int thread) const;
  void MultiplyGroup(const MatMulArgs& args, const CpuWeight::Part& part, int group, const Pass& pass,
                     int thread) const;
  void MultiplyChunk(const MatMulArgs& args, const CpuWeight::Part& part, const std::byte* group, Chunk chunk,
                     const Pass& pass, const SumsTarget& target) const;
  SumsTarget TargetOf(const MatMulArgs& args, const CpuWeight::Part& part, int group, int thread) const;
  float* ThreadSums(int thread) const;
  float* ThreadRow(int thread) const;

  const KernelTable& kernels_;
  ThreadPool& threads_;
  std::vector<PanelSet> sets_;  // one for each activation form the current weight needs
  std::vector<int> set_of_part_;
  Workspace panels_;
  Workspace scratch_;  // per thread: sums of a pass, then a row
  std::size_t row_floats_ = 0;
};

}  // namespace reprise
