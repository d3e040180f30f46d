#include "base/noise.h"

#include <cmath>

namespace reprise {

float GumbelNoise(std::uint64_t stream, TokenId token) {
  // In double: near u = 1 a float logarithm would lose most of its bits.
  const double u = UniformNoise(stream, token);
  return static_cast<float>(-std::log(-std::log(u)));
}

}  // namespace reprise
