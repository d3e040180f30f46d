// Block layouts: ggml's block_q* structs, as kernels/dequantize.cc reads them.
#include "kernels/cuda/weight_codes.h"

#include <cstring>

#include "base/check.h"
#include "base/float_types.h"

namespace reprise::cuda {
namespace {

std::uint16_t Load16(const std::byte* at) {
  std::uint16_t value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}
std::uint32_t Load32(const std::byte* at) {
  std::uint32_t value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}
int Byte(const std::byte* at) {
  return std::to_integer<int>(*at);
}

// Blocks of 32: element i < 16 is the low half of byte i, element i + 16 its high half; `high` holds a fifth
// bit of each.
void ReadNibbles(const std::byte* nibbles, std::uint32_t high, int offset, CodeGroup* out) {
  for (int i = 0; i < 32; ++i) {
    const int nibble = i < 16 ? Byte(nibbles + i) & 15 : Byte(nibbles + i - 16) >> 4;
    out->codes[i] = static_cast<std::int8_t>((nibble | static_cast<int>(high >> i & 1u) << 4) - offset);
  }
}

// The 6-bit (scale, minimum) pair `j` of the 12 packed bytes of Q4_K and Q5_K.
void ReadSixBitPair(const std::byte* packed, int j, int* scale, int* minimum) {
  if (j < 4) {
    *scale = Byte(packed + j) & 63;
    *minimum = Byte(packed + j + 4) & 63;
  } else {
    *scale = (Byte(packed + j + 4) & 15) | (Byte(packed + j - 4) >> 6) << 4;
    *minimum = Byte(packed + j + 4) >> 4 | (Byte(packed + j) >> 6) << 4;
  }
}

// Sub-block `j` of 32 of a Q4_K (`high` nullptr) or Q5_K block.
void ReadSubBlock(const std::byte* block, const std::byte* high, const std::byte* nibbles, int j,
                  CodeGroup* out) {
  int scale = 0;
  int minimum = 0;
  ReadSixBitPair(block + 4, j, &scale, &minimum);
  out->pair[0] = Fp16ToFloat(Load16(block)) * static_cast<float>(scale);
  out->pair[1] = -(Fp16ToFloat(Load16(block + 2)) * static_cast<float>(minimum));
  for (int i = 0; i < 32; ++i) {
    const int byte = Byte(nibbles + j / 2 * 32 + i);
    const int nibble = j % 2 == 0 ? byte & 15 : byte >> 4;
    const int fifth = high != nullptr ? (Byte(high + i) >> j & 1) << 4 : 0;
    out->codes[i] = static_cast<std::int8_t>(nibble | fifth);
  }
}

// Group `j` of 32 of a Q6_K block: quarter j % 4 of half j / 4.
void ReadSixBitGroup(const std::byte* block, int j, CodeGroup* out) {
  const int half = j / 4;
  const int quarter = j % 4;
  const std::byte* low = block + half * 64 + quarter % 2 * 32;
  const std::byte* high = block + 128 + half * 32;
  for (int i = 0; i < 32; ++i) {
    const int nibble = quarter < 2 ? Byte(low + i) & 15 : Byte(low + i) >> 4;
    const int top = (Byte(high + i) >> 2 * quarter & 3) << 4;
    out->codes[i] = static_cast<std::int8_t>((nibble | top) - 32);
  }
  const float d = Fp16ToFloat(Load16(block + 208));
  for (int s = 0; s < 2; ++s)
    out->pair[s] = d * static_cast<float>(static_cast<std::int8_t>(block[192 + 2 * j + s]));
}

}  // namespace

CodeFormat CodeFormatOf(WeightType type) {
  switch (type) {
    case WeightType::kQ4_0:
      return {WeightForm::kQ4, ScaleType::kHalf, 8};
    case WeightType::kQ4_1:
      return {WeightForm::kQ4, ScaleType::kHalfPair, 0};
    case WeightType::kQ4_K:
      return {WeightForm::kQ4, ScaleType::kFloatPair, 0};
    case WeightType::kQ5_0:
    case WeightType::kQ8_0:
      return {WeightForm::kQ8, ScaleType::kHalf, 128};
    case WeightType::kQ5_1:
      return {WeightForm::kQ8, ScaleType::kHalfPair, 128};
    case WeightType::kQ5_K:
      return {WeightForm::kQ8, ScaleType::kFloatPair, 128};
    case WeightType::kQ6_K:
      return {WeightForm::kQ8Fine, ScaleType::kFloatPair, 128};
    case WeightType::kF32:
    case WeightType::kF16:
    case WeightType::kBF16:
      break;
  }
  REPRISE_CHECK(false);
  return {};
}

void ReadCodeGroup(WeightType type, const std::byte* row, int group, CodeGroup* out) {
  const WeightTypeInfo& info = GetWeightTypeInfo(type);
  const int groups_per_block = info.block_elements / kGroupColumns;
  const std::byte* block = row + static_cast<std::size_t>(group / groups_per_block) * info.block_bytes;
  const int j = group % groups_per_block;
  out->half[0] = Load16(block);
  out->half[1] = Load16(block + 2);
  switch (type) {
    case WeightType::kQ4_0:
      return ReadNibbles(block + 2, 0, 8, out);
    case WeightType::kQ4_1:
      return ReadNibbles(block + 4, 0, 0, out);
    case WeightType::kQ5_0:
      return ReadNibbles(block + 6, Load32(block + 2), 16, out);
    case WeightType::kQ5_1:
      return ReadNibbles(block + 8, Load32(block + 4), 0, out);
    case WeightType::kQ8_0:
      std::memcpy(out->codes, block + 2, 32);
      return;
    case WeightType::kQ4_K:
      return ReadSubBlock(block, nullptr, block + 16, j, out);
    case WeightType::kQ5_K:
      return ReadSubBlock(block, block + 16, block + 48, j, out);
    case WeightType::kQ6_K:
      return ReadSixBitGroup(block, j, out);
    default:
      REPRISE_CHECK(false);
  }
}

}  // namespace reprise::cuda
