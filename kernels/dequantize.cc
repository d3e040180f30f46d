// Layouts: ggml's block_q* structs (src/ggml-common.h). All multi-byte fields are little endian, scales are
// fp16.
#include <bit>
#include <cstring>

#include "base/float_types.h"
#include "kernels/weight_type.h"

namespace reprise {
namespace {

static_assert(std::endian::native == std::endian::little, "blocks are read in place");

template <typename T>
T Load(const std::byte* source) {
  T value;  // memcpy: blocks sit at any alignment
  std::memcpy(&value, source, sizeof(T));
  return value;
}

float LoadFp16(const std::byte* source) {
  return Fp16ToFloat(Load<std::uint16_t>(source));
}

int LowNibble(std::byte b) {
  return std::to_integer<int>(b) & 15;
}
int HighNibble(std::byte b) {
  return std::to_integer<int>(b) >> 4;
}

// Blocks of 32: byte j of `nibbles` holds element j in its low and element j + 16 in its high half.
int Nibble32(const std::byte* nibbles, int i) {
  return i < 16 ? LowNibble(nibbles[i]) : HighNibble(nibbles[i - 16]);
}

// d fp16 | nibbles[16]:  x = d (q - 8)
void DequantizeQ4_0(const std::byte* block, float* out) {
  const float d = LoadFp16(block);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(Nibble32(block + 2, i) - 8) * d;
}

// d fp16 | m fp16 | nibbles[16]:  x = d q + m
void DequantizeQ4_1(const std::byte* block, float* out) {
  const float d = LoadFp16(block);
  const float m = LoadFp16(block + 2);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(Nibble32(block + 4, i)) * d + m;
}

// d fp16 | high bits u32 | nibbles[16]:  x = d (q - 16), bit i of `high` is bit 4 of element i
void DequantizeQ5_0(const std::byte* block, float* out) {
  const float d = LoadFp16(block);
  const auto high = Load<std::uint32_t>(block + 2);
  for (int i = 0; i < 32; ++i) {
    const int q = Nibble32(block + 6, i) | static_cast<int>((high >> i) & 1u) << 4;
    out[i] = static_cast<float>(q - 16) * d;
  }
}

// d fp16 | m fp16 | high bits u32 | nibbles[16]:  x = d q + m
void DequantizeQ5_1(const std::byte* block, float* out) {
  const float d = LoadFp16(block);
  const float m = LoadFp16(block + 2);
  const auto high = Load<std::uint32_t>(block + 4);
  for (int i = 0; i < 32; ++i) {
    const int q = Nibble32(block + 8, i) | static_cast<int>((high >> i) & 1u) << 4;
    out[i] = static_cast<float>(q) * d + m;
  }
}

// d fp16 | int8[32]:  x = d q
void DequantizeQ8_0(const std::byte* block, float* out) {
  const float d = LoadFp16(block);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<std::int8_t>(block[2 + i])) * d;
}

struct ScaleAndMin {
  int scale;
  int min;
};

// Q4_K and Q5_K pack eight 6-bit (scale, min) pairs into 12 bytes: bytes 0-3 hold scales 0-3 and bytes 4-7
// mins 0-3 in their low six bits; bytes 8-11 hold the low halves of pairs 4-7, whose top two bits are the
// spare ones of bytes 0-7.
ScaleAndMin UnpackScaleAndMin(const std::byte* packed, int j) {
  const auto byte = [packed](int i) { return std::to_integer<int>(packed[i]); };
  if (j < 4) return {byte(j) & 63, byte(j + 4) & 63};
  return {(byte(j + 4) & 15) | (byte(j - 4) >> 6) << 4, (byte(j + 4) >> 4) | (byte(j) >> 6) << 4};
}

// Both K formats lay 256 elements out as 8 sub-blocks of 32; sub-blocks 2c and 2c + 1 are the low and high
// halves of 32 bytes.
int NibbleK(const std::byte* nibbles, int sub_block, int i) {
  const std::byte b = nibbles[(sub_block / 2) * 32 + i];
  return sub_block % 2 == 0 ? LowNibble(b) : HighNibble(b);
}

// d fp16 | dmin fp16 | scales[12] | nibbles[128]:  x = d scale q - dmin min
void DequantizeQ4_K(const std::byte* block, float* out) {
  const float d = LoadFp16(block);
  const float dmin = LoadFp16(block + 2);
  for (int sub_block = 0; sub_block < 8; ++sub_block) {
    const auto [scale, min] = UnpackScaleAndMin(block + 4, sub_block);
    const float step = d * static_cast<float>(scale);
    const float offset = dmin * static_cast<float>(min);
    for (int i = 0; i < 32; ++i) {
      *out++ = step * static_cast<float>(NibbleK(block + 16, sub_block, i)) - offset;
    }
  }
}

// d fp16 | dmin fp16 | scales[12] | high bits[32] | nibbles[128]: as Q4_K; bit s of high[i] is bit 4 of
// element i of sub-block s
void DequantizeQ5_K(const std::byte* block, float* out) {
  const float d = LoadFp16(block);
  const float dmin = LoadFp16(block + 2);
  const std::byte* high = block + 16;
  for (int sub_block = 0; sub_block < 8; ++sub_block) {
    const auto [scale, min] = UnpackScaleAndMin(block + 4, sub_block);
    const float step = d * static_cast<float>(scale);
    const float offset = dmin * static_cast<float>(min);
    for (int i = 0; i < 32; ++i) {
      const int top = (std::to_integer<int>(high[i]) >> sub_block & 1) << 4;
      *out++ = step * static_cast<float>(NibbleK(block + 48, sub_block, i) | top) - offset;
    }
  }
}

// low[128] | high[64] | scales int8[16] | d fp16:  x = d scale (q - 32), one scale for 16 elements. In each
// half of 128 elements, quarter k of 32 takes its low four bits from the low (k < 2) or high halves of 32
// bytes, and its top two from bits 2k of high.
void DequantizeQ6_K(const std::byte* block, float* out) {
  const std::byte* scales = block + 192;
  const float d = LoadFp16(block + 208);
  for (int half = 0; half < 2; ++half) {
    const std::byte* low = block + half * 64;
    const std::byte* high = block + 128 + half * 32;
    for (int quarter = 0; quarter < 4; ++quarter) {
      for (int i = 0; i < 32; ++i) {
        const std::byte b = low[(quarter % 2) * 32 + i];
        const int bits = quarter < 2 ? LowNibble(b) : HighNibble(b);
        const int top = (std::to_integer<int>(high[i]) >> (2 * quarter) & 3) << 4;
        const auto scale = static_cast<std::int8_t>(scales[half * 8 + quarter * 2 + i / 16]);
        *out++ = d * static_cast<float>(scale) * static_cast<float>((bits | top) - 32);
      }
    }
  }
}

void DequantizeBlock(WeightType type, const std::byte* block, float* out) {
  switch (type) {
    case WeightType::kF32:
      *out = Load<float>(block);
      break;
    case WeightType::kF16:
      *out = LoadFp16(block);
      break;
    case WeightType::kBF16:
      *out = Bf16ToFloat(Load<std::uint16_t>(block));
      break;
    case WeightType::kQ4_0:
      DequantizeQ4_0(block, out);
      break;
    case WeightType::kQ4_1:
      DequantizeQ4_1(block, out);
      break;
    case WeightType::kQ5_0:
      DequantizeQ5_0(block, out);
      break;
    case WeightType::kQ5_1:
      DequantizeQ5_1(block, out);
      break;
    case WeightType::kQ8_0:
      DequantizeQ8_0(block, out);
      break;
    case WeightType::kQ4_K:
      DequantizeQ4_K(block, out);
      break;
    case WeightType::kQ5_K:
      DequantizeQ5_K(block, out);
      break;
    case WeightType::kQ6_K:
      DequantizeQ6_K(block, out);
      break;
  }
}

}  // namespace

void Dequantize(WeightType type, const std::byte* source, std::int64_t elements, float* out) {
  const WeightTypeInfo& info = GetWeightTypeInfo(type);
  for (std::int64_t i = 0; i < elements; i += info.block_elements) {
    DequantizeBlock(type, source, out + i);
    source += info.block_bytes;
  }
}

}  // namespace reprise
