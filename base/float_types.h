// Scalar conversions between float and the two 16-bit formats of model files.
#pragma once

#include <bit>
#include <cstdint>

namespace reprise {

// Round to nearest even; NaN stays NaN (quiet).
inline std::uint16_t FloatToBf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline float Bf16ToFloat(std::uint16_t value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

float Fp16ToFloat(std::uint16_t value);
// Round to nearest even; overflows to infinity, keeps subnormals.
std::uint16_t FloatToFp16(float value);

}  // namespace reprise
