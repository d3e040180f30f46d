#include "kernels/cpu/cpu_weight.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "kernels/cpu/tile_pack.h"
#include "kernels/weight_sources.h"

namespace reprise {
namespace {

void PackPart(const WeightSource& source, const CpuWeight::Part& part, ThreadPool* threads, std::byte* data) {
  threads->ParallelFor(part.groups, 1, [&](int begin, int end, int) {
    for (int g = begin; g < end; ++g) {
      std::array<const std::byte*, kTileRows> rows = {};
      for (int r = 0; r < kTileRows && g * kTileRows + r < part.rows; ++r)
        rows[r] = SourceRow(source, g * kTileRows + r);
      PackGroup(part.type, source.columns, rows, data + static_cast<std::size_t>(g) * part.group_bytes);
    }
  });
}

}  // namespace

Result<std::unique_ptr<Weight>> CpuWeight::Pack(std::span<const WeightSource> sources, WeightArena* arena,
                                                ThreadPool* threads) {
  std::vector<Part> parts;
  std::size_t bytes = 0;
  int rows = 0;
  int groups = 0;
  for (const WeightSource& source : sources) {
    const int part_groups = (source.rows - 1) / kTileRows + 1;
    const std::size_t group_bytes = GroupBytes(source.type, source.columns);
    parts.push_back({source.type, rows, source.rows, groups, part_groups, group_bytes, nullptr});
    bytes += group_bytes * part_groups;
    rows += source.rows;
    groups += part_groups;
  }
  ASSIGN_OR_RETURN(ArenaRange memory, arena->Allocate(bytes));
  std::byte* data = memory.data;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts[i].data = data;
    PackPart(sources[i], parts[i], threads, data);
    data += parts[i].group_bytes * parts[i].groups;
  }
  return std::unique_ptr<Weight>(
      new CpuWeight(rows, sources[0].columns, std::move(parts), std::move(memory)));
}

CpuWeight::CpuWeight(int rows, int columns, std::vector<Part> parts, ArenaRange memory)
    : Weight(rows, columns), parts_(std::move(parts)), memory_(std::move(memory)) {
  for (const Part& part : parts_) {
    std::string name(GetWeightTypeInfo(part.type).name);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (form_.find(name) == std::string::npos) form_ += (form_.empty() ? "" : "+") + name;
  }
}

const CpuWeight::Part& CpuWeight::PartOfGroup(int group) const {
  std::size_t p = parts_.size() - 1;
  while (parts_[p].first_group > group) --p;
  return parts_[p];
}

void CpuWeight::DequantizeRow(int row, float* out) const {
  std::size_t p = parts_.size() - 1;
  while (parts_[p].first_row > row) --p;
  const int r = row - parts_[p].first_row;
  DequantizeGroupRow(parts_[p].type, columns(), parts_[p].group(r / kTileRows), r % kTileRows, out);
}

}  // namespace reprise
