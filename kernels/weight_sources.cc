#include "kernels/weight_sources.h"

#include <cstdint>
#include <string>

namespace reprise {
namespace {

Status CheckSource(const WeightSource& source, int columns, const std::string& name) {
  const WeightTypeInfo& info = GetWeightTypeInfo(source.type);
  const std::string shape = name + " is " + std::to_string(source.rows) + " x " +
                            std::to_string(source.columns) + " of type " + std::string(info.name);
  if (source.rows <= 0 || source.columns <= 0)
    return InvalidArgument(shape + ": rows and columns must be positive");
  if (source.columns != columns)
    return InvalidArgument(shape + ": stacked matrices must all have " + std::to_string(columns) +
                           " columns like the first");
  if (!WeightBytes(source.type, source.columns).has_value())
    return InvalidArgument(shape + ": the number of columns must be a multiple of " +
                           std::to_string(info.block_elements));
  if (!WeightBytes(source.type, std::int64_t{source.columns} * source.rows).has_value())
    return InvalidArgument(shape + ": too large");
  if (source.data == nullptr) return InvalidArgument(shape + ": has no data");
  if (source.row_order.empty()) return OkStatus();
  if (source.row_order.size() != static_cast<std::size_t>(source.rows))
    return InvalidArgument(shape + ": its row order has " + std::to_string(source.row_order.size()) +
                           " entries");
  for (int row : source.row_order) {
    if (row < 0 || row >= source.rows)
      return InvalidArgument(shape + ": its row order names row " + std::to_string(row));
  }
  return OkStatus();
}

}  // namespace

Status CheckWeightSources(std::span<const WeightSource> sources) {
  if (sources.empty()) return InvalidArgument("a weight needs at least one matrix");
  std::int64_t rows = 0;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    RETURN_IF_ERROR(CheckSource(sources[i], sources[0].columns, "matrix " + std::to_string(i)));
    rows += sources[i].rows;
  }
  if (rows > INT32_MAX) return InvalidArgument("stacked matrices have too many rows");
  return OkStatus();
}

int StackedRows(std::span<const WeightSource> sources) {
  int rows = 0;
  for (const WeightSource& source : sources) rows += source.rows;
  return rows;
}

const std::byte* SourceRow(const WeightSource& source, int row) {
  const std::size_t row_bytes = *WeightBytes(source.type, source.columns);
  const int from = source.row_order.empty() ? row : source.row_order[row];
  return source.data + row_bytes * from;
}

}  // namespace reprise
