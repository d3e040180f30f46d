// The two decompositions that slicing needs, by LAPACK. Its one home: nothing else includes or names it.
#pragma once

#include "base/status.h"
#include "compress/matrix.h"

namespace reprise::compress {

// Orthonormal eigenvectors of a symmetric matrix [n, n], one a column, by falling eigenvalue. INTERNAL when
// the iteration does not converge, INVALID_ARGUMENT when an element is not finite.
Result<Matrix> EigenvectorsByFallingValue(const Matrix& symmetric);

// The orthogonal factor of a square matrix, its columns' signs chosen so that the triangular factor's
// diagonal is positive: for independent normal elements that makes it uniform (Mezzadri, 2007).
Result<Matrix> OrthogonalFactor(const Matrix& square);

}  // namespace reprise::compress
