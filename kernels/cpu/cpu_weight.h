// Weights of the CPU backend: groups of 32 rows in tiles.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/cpu/tile_layout.h"
#include "kernels/cpu/weight_arena.h"

namespace reprise {

class CpuWeight final : public Weight {
 public:
  // Rows of one type, beginning at a group of their own. Stacked sources need not share a type.
  struct Part {
    WeightType type;
    int first_row;  // in the stacked matrix
    int rows;
    int first_group;  // of all parts' groups
    int groups;
    std::size_t group_bytes;
    const std::byte* data;

    const std::byte* group(int g) const { return data + static_cast<std::size_t>(g) * group_bytes; }
  };

  // The sources have passed CheckWeightSources.
  static Result<std::unique_ptr<Weight>> Pack(std::span<const WeightSource> sources, WeightArena* arena,
                                              ThreadPool* threads);

  std::size_t bytes() const override { return memory_.bytes; }
  std::span<const std::byte> host_bytes() const override { return {memory_.data, memory_.bytes}; }
  std::string_view form() const override { return form_; }

  const std::vector<Part>& parts() const { return parts_; }
  int num_groups() const { return parts_.back().first_group + parts_.back().groups; }
  int num_tiles() const { return (columns() + kTileColumns - 1) / kTileColumns; }  // of a group
  const Part& PartOfGroup(int group) const;
  void DequantizeRow(int row, float* out) const;

 private:
  CpuWeight(int rows, int columns, std::vector<Part> parts, ArenaRange memory);

  std::vector<Part> parts_;
  ArenaRange memory_;
  std::string form_;  // "q4_k+q6_k"
};

}  // namespace reprise
