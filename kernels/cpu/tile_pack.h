// Between file form and tiles (kernels/cpu/tile_layout.h).
#pragma once

#include <cstddef>
#include <span>

#include "kernels/cpu/tile_layout.h"

namespace reprise {

// Bytes of one group: 32 rows of `columns` elements. Columns of float types are padded to whole tiles.
std::size_t GroupBytes(WeightType type, int columns);

// Packs the file-form rows of one group; nullptr stands for a row of padding. `out` holds GroupBytes zeros.
void PackGroup(WeightType type, int columns, std::span<const std::byte* const> rows, std::byte* out);

// Expands row `row` (0..31) of a group; the same bits as Dequantize of the file form.
void DequantizeGroupRow(WeightType type, int columns, const std::byte* group, int row, float* out);

}  // namespace reprise
