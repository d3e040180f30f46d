// The element types of weights in model files, and their block geometry.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace reprise {

enum class WeightType : std::uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ4_K,
  kQ5_K,
  kQ6_K
};
inline constexpr int kNumWeightTypes = 11;

struct WeightTypeInfo {
  std::string_view name;   // "F32", "Q4_0", ... as GGUF writes them
  int block_elements = 1;  // consecutive elements of a row that share scales
  int block_bytes = 0;
};

const WeightTypeInfo& GetWeightTypeInfo(WeightType type);

// Bytes of `elements` elements; nullopt when that is not a whole number of blocks or overflows.
std::optional<std::size_t> WeightBytes(WeightType type, std::int64_t elements);

// Expands `elements` (whole blocks) from file form to float, exactly as the format defines them. This is the
// oracle: one element at a time, no vector code. Layouts: ggml's block_q* (github.com/ggml-org/ggml,
// src/ggml-common.h).
void Dequantize(WeightType type, const std::byte* source, std::int64_t elements, float* out);

}  // namespace reprise
