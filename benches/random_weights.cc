#include "benches/random_weights.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstring>

#include "base/float_types.h"

namespace reprise::bench {

bool TypeByName(std::string name, WeightType* type) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
  for (int i = 0; i < kNumWeightTypes; ++i) {
    *type = static_cast<WeightType>(i);
    if (GetWeightTypeInfo(*type).name == name) return true;
  }
  return false;
}

std::vector<std::byte> RandomBlocks(WeightType type, std::int64_t elements) {
  std::vector<std::byte> data(*WeightBytes(type, elements));
  std::uint64_t state = 88172645463325252ull;
  for (std::byte& b : data) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    b = static_cast<std::byte>(state >> 56);
  }
  const WeightTypeInfo& info = GetWeightTypeInfo(type);
  const auto put_scale = [&](std::size_t at) {
    const std::uint16_t bits = FloatToFp16(0.01f);
    std::memcpy(data.data() + at, &bits, 2);
  };
  for (std::size_t b = 0; b < data.size(); b += info.block_bytes) {
    if (type == WeightType::kQ6_K) {
      put_scale(b + 208);
    } else if (info.block_elements > 1) {
      put_scale(b);
      put_scale(b + 2);
    } else if (info.block_bytes == 4) {
      const float value = 0.01f;
      std::memcpy(data.data() + b, &value, 4);
    } else {
      data[b + 1] = std::byte{0x3c};  // about 1 in both 16-bit types
    }
  }
  return data;
}

}  // namespace reprise::bench
