// Dense matrices of doubles and the one product that slicing is made of.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace reprise::compress {

// [rows, columns], row-major.
class Matrix {
 public:
  Matrix() = default;
  Matrix(int rows, int columns)
      : rows_(rows), columns_(columns), data_(static_cast<std::size_t>(rows) * columns) {}

  int rows() const { return rows_; }
  int columns() const { return columns_; }
  bool empty() const { return data_.empty(); }
  double* row(int r) { return data_.data() + static_cast<std::size_t>(r) * columns_; }
  const double* row(int r) const { return data_.data() + static_cast<std::size_t>(r) * columns_; }
  double& at(int r, int c) { return row(r)[c]; }
  double at(int r, int c) const { return row(r)[c]; }
  std::span<double> values() { return data_; }
  std::span<const double> values() const { return data_; }

  // The first `columns` columns.
  Matrix FirstColumns(int columns) const;
  Matrix Transposed() const;

 private:
  int rows_ = 0;
  int columns_ = 0;
  std::vector<double> data_;
};

enum class Transpose { kNo, kYes };

// c += op(a) b, on the backend's host threads. Each element is summed in ascending order of the inner index,
// whatever the machine and the number of threads. With `upper_only`, blocks of c below its diagonal are left.
void AddProduct(Backend& backend, const Matrix& a, Transpose transpose_a, const Matrix& b, Matrix* c,
                bool upper_only = false);

// op(a) b
Matrix Product(Backend& backend, const Matrix& a, Transpose transpose_a, const Matrix& b);

}  // namespace reprise::compress
