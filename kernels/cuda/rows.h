// Operations that move rows: embedding, gathering, expanding weights to bf16.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cuda/packed_weight.h"
#include "kernels/cuda/stream.h"

namespace reprise::cuda {

// out[t] = row token_ids[t] - first_row of the part, for the tokens that lie in it; a negative one is
// drawn[-1 - id]. token_ids, drawn: device.
void EmbedRows(Stream& stream, const TokenId* token_ids, const TokenId* drawn, int first_row,
               const PackedWeight& part, MatrixView out);
// out[i] = x[rows[i]]. rows: device, out.rows of them.
void GatherRows(Stream& stream, ConstMatrixView x, const int* rows, MatrixView out);
// out[rows[i]] = x[i]. rows: device, x.rows of them.
void ScatterRows(Stream& stream, ConstMatrixView x, const int* rows, MatrixView out);
// out[i] += x[rows[i]].
void AddRows(Stream& stream, ConstMatrixView x, const int* rows, MatrixView out);
// out [weight.rows, stride] bf16, rounded to nearest even; zeros beyond the weight's columns.
void ExpandToBf16(Stream& stream, const PackedWeight& weight, std::uint16_t* out, std::int64_t stride);

}  // namespace reprise::cuda
