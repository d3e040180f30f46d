#include "compress/lapack.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

extern "C" {
// Fortran: everything by address, matrices by columns, the length of a character argument at the end.
void dsyevd_(const char* jobz, const char* uplo, const int* n, double* a, const int* lda, double* w,
             double* work, const int* lwork, int* iwork, const int* liwork, int* info, std::size_t,
             std::size_t);
void dgeqrf_(const int* m, const int* n, double* a, const int* lda, double* tau, double* work,
             const int* lwork, int* info);
void dorgqr_(const int* m, const int* n, const int* k, double* a, const int* lda, const double* tau,
             double* work, const int* lwork, int* info);
}

namespace reprise::compress {
namespace {

Status Failed(const char* routine, int info) {
  return Internal(std::string("LAPACK's ") + routine + " failed with code " + std::to_string(info));
}

}  // namespace

Result<Matrix> EigenvectorsByFallingValue(const Matrix& symmetric) {
  const int n = symmetric.rows();
  if (!std::all_of(symmetric.values().begin(), symmetric.values().end(),
                   [](double value) { return std::isfinite(value); })) {
    return InvalidArgument("the signal's covariance has elements that are not finite");
  }
  Matrix vectors = symmetric;  // symmetric, so rows or columns do not matter yet
  std::vector<double> values(static_cast<std::size_t>(n));
  int info = 0, work_size = -1, integer_size = -1, integer_query = 0;
  double work_query = 0.0;
  double* a = vectors.row(0);
  dsyevd_("V", "U", &n, a, &n, values.data(), &work_query, &work_size, &integer_query, &integer_size, &info,
          1, 1);
  if (info != 0) return Failed("dsyevd", info);
  work_size = static_cast<int>(work_query);
  integer_size = integer_query;
  std::vector<double> work(static_cast<std::size_t>(work_size));
  std::vector<int> integers(static_cast<std::size_t>(integer_size));
  dsyevd_("V", "U", &n, a, &n, values.data(), work.data(), &work_size, integers.data(), &integer_size, &info,
          1, 1);
  if (info != 0) return Failed("dsyevd", info);
  // Fortran's column i, our row i, is the vector of the i-th smallest value.
  Matrix out(n, n);
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < n; ++k) out.at(k, n - 1 - i) = vectors.at(i, k);
  }
  return out;
}

Result<Matrix> OrthogonalFactor(const Matrix& square) {
  const int n = square.rows();
  Matrix columns = square.Transposed();  // Fortran sees `square`
  std::vector<double> tau(static_cast<std::size_t>(n));
  int info = 0, work_size = -1;
  double query = 0.0;
  double* a = columns.row(0);
  dgeqrf_(&n, &n, a, &n, tau.data(), &query, &work_size, &info);
  if (info != 0) return Failed("dgeqrf", info);
  work_size = std::max(static_cast<int>(query), n * 64);
  std::vector<double> work(static_cast<std::size_t>(work_size));
  dgeqrf_(&n, &n, a, &n, tau.data(), work.data(), &work_size, &info);
  if (info != 0) return Failed("dgeqrf", info);
  std::vector<bool> negative(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) negative[static_cast<std::size_t>(i)] = columns.at(i, i) < 0;
  dorgqr_(&n, &n, &n, a, &n, tau.data(), work.data(), &work_size, &info);
  if (info != 0) return Failed("dorgqr", info);
  Matrix out = columns.Transposed();
  for (int r = 0; r < n; ++r) {
    for (int c = 0; c < n; ++c) {
      if (negative[static_cast<std::size_t>(c)]) out.at(r, c) = -out.at(r, c);
    }
  }
  return out;
}

}  // namespace reprise::compress
