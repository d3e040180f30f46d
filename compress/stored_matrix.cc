#include "compress/stored_matrix.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/float_types.h"

namespace reprise::compress {
namespace {

constexpr float kLargestFp16 = 65504.0f;

}  // namespace

Result<StoredMatrix> Store(const Matrix& matrix, WeightType type, std::string_view what) {
  REPRISE_CHECK(type == WeightType::kF32 || type == WeightType::kF16 || type == WeightType::kBF16);
  StoredMatrix stored{type, matrix.rows(), matrix.columns(), {}};
  const auto size = static_cast<std::size_t>(GetWeightTypeInfo(type).block_bytes);
  stored.bytes.resize(matrix.values().size() * size);
  std::byte* out = stored.bytes.data();
  const float largest = type == WeightType::kF16 ? kLargestFp16 : std::numeric_limits<float>::max();
  for (const double exact : matrix.values()) {
    const auto value = static_cast<float>(exact);
    if (!(std::fabs(value) <= largest)) {
      return Status(StatusCode::kOutOfRange,
                    std::string(what) + " has an element of " + std::to_string(exact) + ", too large for " +
                        std::string(GetWeightTypeInfo(type).name) + "; choose another --dtype");
    }
    if (type == WeightType::kF32) {
      std::memcpy(out, &value, size);
    } else {
      const std::uint16_t bits = type == WeightType::kF16 ? FloatToFp16(value) : FloatToBf16(value);
      std::memcpy(out, &bits, size);
    }
    out += size;
  }
  return stored;
}

}  // namespace reprise::compress
