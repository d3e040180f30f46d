// Weights to measure with, and the words of command lines that name them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/weight_type.h"

namespace reprise::bench {

// Random codes under scales of an ordinary size: subnormal ones would cost extra.
std::vector<std::byte> RandomBlocks(WeightType type, std::int64_t elements);
// By its GGUF name, in any case. False when there is none.
bool TypeByName(std::string name, WeightType* type);

}  // namespace reprise::bench
