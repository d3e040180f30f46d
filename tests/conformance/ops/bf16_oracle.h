// Products with bfloat16 weights written out, as each family of instructions defines them.
#pragma once

#include <cstddef>
#include <vector>

namespace reprise::test {

enum class Bf16Products {
  kWidened,  // a fused multiply-add a weight, activations as they are
  kPairs,    // VDPBF16PS
  kTiles     // TDPBF16PS, 32 columns at a time
};

// out [m, rows] of x [m, columns] and a bfloat16 weight [rows, columns].
std::vector<float> Bf16MatMul(Bf16Products products, const std::vector<std::byte>& weight, int rows,
                              int columns, const std::vector<float>& x);

}  // namespace reprise::test
