#include "kernels/cuda/matmul.h"

#include <algorithm>

#include "kernels/cuda/few_rows_matmul.h"
#include "kernels/cuda/rows.h"

namespace reprise::cuda {
namespace {

bool IsFloat(const CudaWeight::Part& part) {
  return part.packed.form == WeightForm::kF32;
}

// The part's columns of the output.
ProductOutput OutputOf(const ProductOutput& whole, const CudaWeight::Part& part) {
  ProductOutput out = whole;
  out.data += part.first_row;
  if (out.bias != nullptr) out.bias += part.first_row;
  return out;
}

// Rows as they are multiplied, and what a weight that is not bf16 is expanded to.
std::size_t Bf16Bytes(int rows, int columns) {
  return static_cast<std::size_t>(rows) * PaddedColumns(columns) * sizeof(std::uint16_t);
}
std::size_t FloatBytes(int rows, int columns) {
  return static_cast<std::size_t>(rows) * PaddedColumns(columns) * sizeof(float);
}

}  // namespace

CudaMatMul::CudaMatMul(Stream& stream)
    : stream_(stream),
      gemm_(Gemm::Create(stream)),
      fragment_values_(stream),
      fragment_sums_(stream),
      float_rows_(stream),
      bf16_rows_(stream),
      expanded_(stream) {}

void CudaMatMul::Note(const CudaWeight& weight) {
  for (const CudaWeight::Part& part : weight.parts()) {
    int* most = IsFloat(part) ? &most_float_columns_ : &most_columns_;
    *most = std::max(*most, weight.columns());
    if (!IsFloat(part) && part.packed.form != WeightForm::kBF16)
      expanded_bytes_ = std::max(expanded_bytes_, Bf16Bytes(part.packed.rows, weight.columns()));
  }
}

Status CudaMatMul::Reserve(int max_rows) {
  if (most_float_columns_ > 0)
    RETURN_IF_ERROR(float_rows_.Reserve(FloatBytes(max_rows, most_float_columns_)));
  if (most_columns_ == 0) return OkStatus();
  const int few_rows = std::min(max_rows, kMaxFewRows);
  RETURN_IF_ERROR(fragment_values_.Reserve(FragmentValueBytes(few_rows, most_columns_)));
  RETURN_IF_ERROR(fragment_sums_.Reserve(FragmentSumBytes(few_rows, most_columns_)));
  if (gemm_ == nullptr || max_rows <= kMaxFewRows) return OkStatus();
  RETURN_IF_ERROR(gemm_->Reserve());
  RETURN_IF_ERROR(bf16_rows_.Reserve(Bf16Bytes(max_rows, most_columns_)));
  return expanded_.Reserve(expanded_bytes_);
}

void CudaMatMul::Run(const MatMulArgs& args) {
  if (args.x.rows == 0) return;
  const auto& weight = static_cast<const CudaWeight&>(*args.weight);
  ProductOutput out = {args.out.data, args.out.stride, args.bias, args.x.rows, args.accumulate ? 1 : 0};
  Multiply({args.x, weight.columns(), args.prologue, args.norm, args.layer_norm}, weight, out);
  if (args.second.weight == nullptr) return;
  const auto& second = static_cast<const CudaWeight&>(*args.second.weight);
  out.bias = nullptr;
  out.accumulate = 1;
  Multiply({args.second.x, second.columns()}, second, out);
}

void CudaMatMul::Multiply(const ProductInput& input, const CudaWeight& weight, const ProductOutput& out) {
  const auto parts = weight.parts();
  if (std::any_of(parts.begin(), parts.end(), IsFloat)) MultiplyFloatParts(input, weight, out);
  if (std::all_of(parts.begin(), parts.end(), IsFloat)) return;
  std::vector<CudaWeight::Part> rest(parts.begin(), parts.end());
  std::erase_if(rest, IsFloat);
  if (out.rows > kMaxFewRows && gemm_ != nullptr) MultiplyManyRows(input, out, &rest);
  if (rest.empty()) return;
  for (int row = 0; row < out.rows; row += kMaxFewRows)
    MultiplyFewRows(input, rest, out, row, std::min(kMaxFewRows, out.rows - row));
}

void CudaMatMul::MultiplyFewRows(const ProductInput& input, std::span<const CudaWeight::Part> parts,
                                 const ProductOutput& out, int first_row, int rows) {
  Fragments x;
  x.values = static_cast<std::uint16_t*>(fragment_values_.Get(FragmentValueBytes(rows, input.columns)));
  x.sums = static_cast<float*>(fragment_sums_.Get(FragmentSumBytes(rows, input.columns)));
  x.column_tiles = ColumnTiles(rows);
  PrepareFragments(stream_, input, first_row, rows, x);
  for (const CudaWeight::Part& part : parts) {
    ProductOutput part_out = OutputOf(out, part);
    part_out.data += first_row * out.stride;
    part_out.rows = rows;
    FewRowsMatMul(stream_, part.packed, x, part_out);
  }
}

void CudaMatMul::MultiplyManyRows(const ProductInput& input, const ProductOutput& out,
                                  std::vector<CudaWeight::Part>* parts) {
  const std::int64_t stride = PaddedColumns(input.columns);
  const int columns = (input.columns + 7) / 8 * 8;  // zeros behind the last one, on both sides
  auto* x = static_cast<std::uint16_t*>(bf16_rows_.Get(Bf16Bytes(out.rows, input.columns)));
  PrepareBf16Rows(stream_, input, x);
  std::erase_if(*parts, [&](const CudaWeight::Part& part) {
    const PackedWeight& packed = part.packed;
    Bf16Matrix matrix = {static_cast<const std::uint16_t*>(packed.data), packed.row_stride, packed.rows,
                         columns};
    if (packed.form != WeightForm::kBF16) {
      auto* expanded = static_cast<std::uint16_t*>(expanded_.Get(Bf16Bytes(packed.rows, input.columns)));
      ExpandToBf16(stream_, packed, expanded, stride);
      matrix = {expanded, stride, packed.rows, columns};
    }
    return gemm_->Multiply({x, stride, out.rows, columns}, matrix, OutputOf(out, part));
  });
}

void CudaMatMul::MultiplyFloatParts(const ProductInput& input, const CudaWeight& weight,
                                    const ProductOutput& out) {
  auto* x = static_cast<float*>(float_rows_.Get(FloatBytes(out.rows, input.columns)));
  PrepareFloatRows(stream_, input, x);
  for (const CudaWeight::Part& part : weight.parts()) {
    if (IsFloat(part)) FloatMatMul(stream_, part.packed, x, OutputOf(out, part));
  }
}

}  // namespace reprise::cuda
