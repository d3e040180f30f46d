#include "kernels/weight_type.h"

#include <array>

namespace reprise {
namespace {

// In the order of WeightType. Block sizes: ggml's block_q* structs.
constexpr std::array<WeightTypeInfo, kNumWeightTypes> kTypes = {{
    {"F32", 1, 4},
    {"F16", 1, 2},
    {"BF16", 1, 2},
    {"Q4_0", 32, 2 + 16},
    {"Q4_1", 32, 2 + 2 + 16},
    {"Q5_0", 32, 2 + 4 + 16},
    {"Q5_1", 32, 2 + 2 + 4 + 16},
    {"Q8_0", 32, 2 + 32},
    {"Q4_K", 256, 2 + 2 + 12 + 128},
    {"Q5_K", 256, 2 + 2 + 12 + 32 + 128},
    {"Q6_K", 256, 128 + 64 + 16 + 2},
}};

}  // namespace

const WeightTypeInfo& GetWeightTypeInfo(WeightType type) {
  return kTypes[static_cast<std::size_t>(type)];
}

std::optional<std::size_t> WeightBytes(WeightType type, std::int64_t elements) {
  const WeightTypeInfo& info = GetWeightTypeInfo(type);
  if (elements < 0 || elements % info.block_elements != 0) return std::nullopt;
  std::size_t bytes = 0;
  const auto blocks = static_cast<std::size_t>(elements / info.block_elements);
  if (__builtin_mul_overflow(blocks, static_cast<std::size_t>(info.block_bytes), &bytes)) return std::nullopt;
  return bytes;
}

}  // namespace reprise
