#include "kernels/reference/reference_weight.h"

#include <cstring>
#include <utility>

#include "kernels/weight_sources.h"

namespace reprise {

Result<std::unique_ptr<Weight>> ReferenceWeight::Pack(std::span<const WeightSource> sources) {
  std::size_t bytes = 0;
  for (const WeightSource& source : sources)
    bytes += *WeightBytes(source.type, std::int64_t{source.rows} * source.columns);
  ASSIGN_OR_RETURN(Buffer buffer, Buffer::Allocate(bytes));
  return std::unique_ptr<Weight>(new ReferenceWeight(sources, std::move(buffer)));
}

ReferenceWeight::ReferenceWeight(std::span<const WeightSource> sources, Buffer buffer)
    : Weight(StackedRows(sources), sources[0].columns), buffer_(std::move(buffer)) {
  std::size_t offset = 0;
  int first_row = 0;
  for (const WeightSource& source : sources) {
    const std::size_t row_bytes = *WeightBytes(source.type, source.columns);
    parts_.push_back({source.type, first_row, offset, row_bytes});
    for (int row = 0; row < source.rows; ++row, offset += row_bytes)
      std::memcpy(buffer_.data() + offset, SourceRow(source, row), row_bytes);
    first_row += source.rows;
    const std::string name(GetWeightTypeInfo(source.type).name);
    if (form_.find(name) == std::string::npos) form_ += (form_.empty() ? "" : "+") + name;
  }
}

void ReferenceWeight::DequantizeRow(int row, float* out) const {
  std::size_t p = parts_.size() - 1;
  while (parts_[p].first_row > row) --p;
  const Part& part = parts_[p];
  Dequantize(part.type, buffer_.data() + part.offset + part.row_bytes * (row - part.first_row), columns(),
             out);
}

}  // namespace reprise
