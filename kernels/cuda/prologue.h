// Activations on their way into a matrix product: the prologue applied, then rounded and laid out for the
// kernel that multiplies.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cuda/stream.h"

namespace reprise::cuda {

// Rows of x that one launch of the tensor-core kernel for few rows takes.
inline constexpr int kMaxFewRows = 32;

// Rows as fragments of mma.m16n8k16's second operand. Row r is two columns of it, its high and its low bf16:
// columns 2 (r % 4) and 2 (r % 4) + 1 of column tile r / 4. For each group of 32 of K and each column tile,
// lane 4 g + t holds the eight values k = 8 t .. 8 t + 7 of column g. Columns without a row are not written.
struct Fragments {
  std::uint16_t* values = nullptr;  // [padded columns / 32][column tiles][32 lanes][8]
  float* sums = nullptr;            // [padded columns / 32][column tiles * 4]: sum of a row's group
  int column_tiles = 0;
};

// Of the fragments of `rows` rows: what the kernels are compiled for.
constexpr int ColumnTiles(int rows) {
  return rows <= 4 ? 1 : rows <= 8 ? 2 : rows <= 16 ? 4 : 8;
}
int PaddedColumns(int columns);
std::size_t FragmentValueBytes(int rows, int columns);
std::size_t FragmentSumBytes(int rows, int columns);

// What is multiplied: x and what happens to it first.
struct ProductInput {
  ConstMatrixView x;
  int columns = 0;  // K of the weight
  Prologue prologue = Prologue::kNone;
  RmsNormSpec norm = {};
  LayerNormSpec layer_norm = {};
};

// prologue(x), in one of three forms.
// Rows first_row .. first_row + rows - 1, at most kMaxFewRows, as fragments.
void PrepareFragments(Stream& stream, const ProductInput& input, int first_row, int rows,
                      const Fragments& fragments);
// As floats [rows, PaddedColumns(K)], padded with zeros.
void PrepareFloatRows(Stream& stream, const ProductInput& input, float* out);
// As bf16 [rows, PaddedColumns(K)], padded with zeros.
void PrepareBf16Rows(Stream& stream, const ProductInput& input, std::uint16_t* out);

// The Backend's norms.
void RmsNormRows(Stream& stream, ConstMatrixView x, const RmsNormSpec& spec, MatrixView out);
void LayerNormRows(Stream& stream, ConstMatrixView x, const LayerNormSpec& spec, MatrixView out);

}  // namespace reprise::cuda
