// Products of at most 32 rows, where reading the weights is what takes time: each weight is read once, in
// loads of 16 bytes, and multiplied on the tensor cores with activations split into two bf16.
//
// A warp takes tiles of 16 weight rows; the eight warps of a block share out the segments of K in turn, and
// their sums are added in ascending order. Nothing in the order depends on the number of activation rows: a
// row's bits are the same in any batch of up to 32.
#pragma once

#include "kernels/cuda/packed_weight.h"
#include "kernels/cuda/prologue.h"

namespace reprise::cuda {

// out [rows, weight.rows] (+)= x weight^T + bias; `out` begins at the part's first column. Part of commands,
// which are compared byte by byte: no padding.
struct ProductOutput {
  float* data = nullptr;
  std::int64_t stride = 0;
  const float* bias = nullptr;
  int rows = 0;
  int accumulate = 0;
};

// For every form but kF32.
void FewRowsMatMul(Stream& stream, const PackedWeight& weight, const Fragments& x, const ProductOutput& out);

// For kF32, in full float precision and for any number of rows. x: [rows, PaddedColumns(K)].
void FloatMatMul(Stream& stream, const PackedWeight& weight, const float* x, const ProductOutput& out);

}  // namespace reprise::cuda
