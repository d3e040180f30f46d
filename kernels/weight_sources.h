// What every backend's Pack does first.
#pragma once

#include <span>

#include "kernels/backend.h"

namespace reprise {

// INVALID_ARGUMENT, naming the source and what is wrong with it, unless the sources can be stacked: at least
// one, all with the same positive number of columns, rows that are whole blocks of their type, and a
// row_order that is empty or one index in range for each row.
Status CheckWeightSources(std::span<const WeightSource> sources);

// Rows of all sources together.
int StackedRows(std::span<const WeightSource> sources);

// The file bytes of what shall become row `row` of the packed source.
const std::byte* SourceRow(const WeightSource& source, int row);

}  // namespace reprise
