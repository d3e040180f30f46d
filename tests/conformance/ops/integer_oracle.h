// The quantised matmul written out: int8 activations, exact integer dot products, one fixed order of
// floating-point operations. Every leg must give these bits.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/weight_type.h"

namespace reprise::test {

// out [m, rows] of x [m, columns] and a file-form weight [rows, columns] of a quantised type.
std::vector<float> IntegerMatMul(WeightType type, const std::vector<std::byte>& weight, int rows, int columns,
                                 const std::vector<float>& x);

}  // namespace reprise::test
