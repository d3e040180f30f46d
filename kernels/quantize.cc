#include "kernels/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "base/float_types.h"

namespace reprise {
namespace {

constexpr int kBlock = 32;

void StoreFp16(float value, std::byte* out) {
  const std::uint16_t bits = FloatToFp16(value);
  std::memcpy(out, &bits, sizeof(bits));
}

// Element j goes to the low and element j + 16 to the high half of byte j.
template <typename Level>
void StoreNibbles(Level level, std::byte* out) {
  for (int i = 0; i < kBlock / 2; ++i) out[i] = static_cast<std::byte>(level(i) | level(i + 16) << 4);
}

// d fp16 | int8[32]:  x = d q, |q| <= 127
void QuantizeQ8_0(const float* x, std::byte* out) {
  float largest = 0;
  for (int i = 0; i < kBlock; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float scale = largest / 127.0f;
  const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
  StoreFp16(scale, out);
  for (int i = 0; i < kBlock; ++i) {
    out[2 + i] = static_cast<std::byte>(static_cast<std::int8_t>(std::lround(x[i] * inverse)));
  }
}

// d fp16 | nibbles[16]:  x = d (q - 8). The element of largest magnitude becomes q = 0 exactly.
void QuantizeQ4_0(const float* x, std::byte* out) {
  float extreme = 0;
  for (int i = 0; i < kBlock; ++i) extreme = std::fabs(x[i]) > std::fabs(extreme) ? x[i] : extreme;
  const float scale = extreme / -8.0f;
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  StoreFp16(scale, out);
  StoreNibbles([&](int i) { return std::clamp(static_cast<int>(x[i] * inverse + 8.5f), 0, 15); }, out + 2);
}

// d fp16 | m fp16 | nibbles[16]:  x = d q + m
void QuantizeQ4_1(const float* x, std::byte* out) {
  const auto [low, high] = std::minmax_element(x, x + kBlock);
  const float minimum = *low;
  const float scale = (*high - minimum) / 15.0f;
  const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
  StoreFp16(scale, out);
  StoreFp16(minimum, out + 2);
  StoreNibbles([&](int i) { return std::clamp(static_cast<int>((x[i] - minimum) * inverse + 0.5f), 0, 15); },
               out + 4);
}

}  // namespace

std::vector<std::byte> Quantize(const WeightSource& source, WeightType type) {
  REPRISE_CHECK(CanQuantizeTo(type) && source.columns % kBlock == 0);
  const auto quantize = type == WeightType::kQ8_0   ? QuantizeQ8_0
                        : type == WeightType::kQ4_0 ? QuantizeQ4_0
                                                    : QuantizeQ4_1;
  const auto block_bytes = static_cast<std::size_t>(GetWeightTypeInfo(type).block_bytes);
  const std::size_t source_row = *WeightBytes(source.type, source.columns);
  std::vector<std::byte> bytes(*WeightBytes(type, source.columns) * static_cast<std::size_t>(source.rows));
  std::vector<float> row(static_cast<std::size_t>(source.columns));
  std::byte* out = bytes.data();
  for (int r = 0; r < source.rows; ++r) {
    Dequantize(source.type, source.data + static_cast<std::size_t>(r) * source_row, source.columns,
               row.data());
    for (int c = 0; c < source.columns; c += kBlock, out += block_bytes) quantize(row.data() + c, out);
  }
  return bytes;
}

}  // namespace reprise
