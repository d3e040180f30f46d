// Keys and values as int8 with one float scale for each token and head: x ~ scale * q.
//
// The finest scale that a token can be stored with for good: one that spans tokens would have to change as
// they arrive, and with it what earlier ones hold. It costs 4 bytes a head (of 64 + 4, where bf16 takes 128),
// and a scale of keys or values is one factor of a score or a weight, outside the inner loops.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace reprise {

struct KvScale {
  float scale;
  float inverse;  // of it; 0 when the head counts as zero
};

// Of x [n]: the largest magnitude becomes `limit`. NaN or infinity in x makes the scale one, so that they
// reach whatever reads the head.
inline KvScale KvScaleOf(const float* x, int n, float limit = 127.0f) {
  // As integers, magnitudes order like the numbers, with infinity and NaN above all.
  std::uint32_t largest = 0;
  for (int i = 0; i < n; ++i) largest = std::max(largest, std::bit_cast<std::uint32_t>(x[i]) & 0x7fffffffu);
  const auto maximum = std::bit_cast<float>(largest);
  if (maximum < 1e-30f) return {0.0f, 0.0f};  // limit / maximum must not overflow
  return {maximum / limit, limit / maximum};
}

// x * inverse to the nearest integer of int8 or int16, halves to even: adding 1.5 * 2^23 leaves it in the low
// bits, in two's complement.
template <typename Integer = std::int8_t>
Integer QuantizeKv(float x, float inverse) {
  return static_cast<Integer>(std::bit_cast<std::uint32_t>(x * inverse + 12582912.0f));
}

}  // namespace reprise
