#include "compress/matrix.h"

#include <algorithm>

#include "base/check.h"

namespace reprise::compress {
namespace {

// A strip of c is kStrip columns wide; the inner dimension is cut so that a strip's part of b (128 KiB) stays
// in the second-level cache. A block of c is kBlockRows x kBlockColumns: its sums live in registers.
constexpr int kStrip = 64;
constexpr int kDepth = 256;
constexpr int kBlockRows = 4;
constexpr int kBlockColumns = 16;

// The same code for the instruction sets that matter; sums are element by element in one order, so the bits
// agree. ThreadSanitizer cannot start a program with such functions.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__SANITIZE_ADDRESS__)
#define REPRISE_EVERY_ISA __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define REPRISE_EVERY_ISA
#endif

// op(a), element (i, k) at data[i * row_step + k * inner_step].
struct Operand {
  const double* data;
  std::ptrdiff_t row_step;
  std::ptrdiff_t inner_step;
};

typedef double Vec __attribute__((vector_size(64), aligned(8), may_alias));
constexpr int kLanes = 8;
constexpr int kBlockVecs = kBlockColumns / kLanes;

// Rows of a strip: sums[i][j] += sum_k a(i, k) panel[k][j]. `panel` is [depth][kStrip], `sums`
// [rows][kStrip].
REPRISE_EVERY_ISA void MultiplyStrip(Operand a, int rows, int depth, const double* panel, double* sums) {
  for (int i = 0; i < rows; i += kBlockRows) {
    const double* a_rows[kBlockRows];
    for (int r = 0; r < kBlockRows; ++r) a_rows[r] = a.data + std::min(i + r, rows - 1) * a.row_step;
    for (int j = 0; j < kStrip; j += kBlockColumns) {
      Vec block[kBlockRows][kBlockVecs] = {};
      const double* b = panel + j;
      for (int k = 0; k < depth; ++k, b += kStrip) {
        for (int r = 0; r < kBlockRows; ++r) {
          const double factor = a_rows[r][k * a.inner_step];
          for (int v = 0; v < kBlockVecs; ++v)
            block[r][v] += factor * *reinterpret_cast<const Vec*>(b + kLanes * v);
        }
      }
      for (int r = 0; r < kBlockRows && i + r < rows; ++r) {
        for (int v = 0; v < kBlockVecs; ++v) {
          *reinterpret_cast<Vec*>(sums + static_cast<std::ptrdiff_t>(i + r) * kStrip + j + kLanes * v) +=
              block[r][v];
        }
      }
    }
  }
}

// Columns [column, column + kStrip) of rows [first, first + depth) of b, zeros where it ends.
void PackStrip(const Matrix& b, int first, int depth, int column, double* panel) {
  const int columns = std::min(kStrip, b.columns() - column);
  for (int k = 0; k < depth; ++k, panel += kStrip) {
    std::copy_n(b.row(first + k) + column, columns, panel);
    std::fill(panel + columns, panel + kStrip, 0.0);
  }
}

void MultiplyColumns(const Operand& a, int inner, const Matrix& b, int column, int rows, Matrix* c) {
  const int columns = std::min(kStrip, b.columns() - column);
  std::vector<double> panel(static_cast<std::size_t>(kDepth) * kStrip);
  std::vector<double> sums(static_cast<std::size_t>(rows) * kStrip);
  for (int k = 0; k < inner; k += kDepth) {
    const int depth = std::min(kDepth, inner - k);
    PackStrip(b, k, depth, column, panel.data());
    MultiplyStrip({a.data + k * a.inner_step, a.row_step, a.inner_step}, rows, depth, panel.data(),
                  sums.data());
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) c->at(i, column + j) += sums[static_cast<std::size_t>(i) * kStrip + j];
  }
}

}  // namespace

Matrix Matrix::FirstColumns(int columns) const {
  Matrix out(rows_, columns);
  for (int r = 0; r < rows_; ++r) std::copy_n(row(r), columns, out.row(r));
  return out;
}

Matrix Matrix::Transposed() const {
  Matrix out(columns_, rows_);
  for (int r = 0; r < rows_; ++r) {
    for (int c = 0; c < columns_; ++c) out.at(c, r) = at(r, c);
  }
  return out;
}

void AddProduct(Backend& backend, const Matrix& a, Transpose transpose_a, const Matrix& b, Matrix* c,
                bool upper_only) {
  const bool transposed = transpose_a == Transpose::kYes;
  const int rows = transposed ? a.columns() : a.rows();
  const int inner = transposed ? a.rows() : a.columns();
  REPRISE_CHECK(b.rows() == inner && c->rows() == rows && c->columns() == b.columns());
  const Operand operand = transposed ? Operand{a.row(0), 1, a.columns()} : Operand{a.row(0), a.columns(), 1};
  const int strips = (b.columns() + kStrip - 1) / kStrip;
  backend.ParallelFor(strips, 1, [&](int begin, int end, int) {
    for (int s = begin; s < end; ++s) {
      const int last_row = upper_only ? std::min(rows, (s + 1) * kStrip) : rows;
      MultiplyColumns(operand, inner, b, s * kStrip, last_row, c);
    }
  });
}

Matrix Product(Backend& backend, const Matrix& a, Transpose transpose_a, const Matrix& b) {
  Matrix c(transpose_a == Transpose::kYes ? a.columns() : a.rows(), b.columns());
  AddProduct(backend, a, transpose_a, b, &c);
  return c;
}

}  // namespace reprise::compress
