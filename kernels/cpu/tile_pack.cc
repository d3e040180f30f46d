#include "kernels/cpu/tile_pack.h"

#include <array>
#include <cstdint>
#include <cstring>

#include "base/float_types.h"

namespace reprise {
namespace {

constexpr int kCodeWords = kTileColumns / 4;  // codes travel four columns at a time, one byte each

// 32 columns of one row of a quantised type.
struct CodeBlock {
  std::uint32_t codes[kCodeWords] = {};  // bytes: columns 4j..4j+3, unsigned (the layout's offset is in)
  std::uint16_t d = 0;                   // fp16
  std::uint16_t m = 0;                   // fp16: minimum, or dmin of K types
  std::uint8_t scales[2] = {};           // K types: {scale, minimum}; Q6_K: int8 scales of the two halves

  void Set(int column, int code) {
    codes[column / 4] |= static_cast<std::uint32_t>(code) << (8 * (column % 4));
  }
  int Get(int column) const { return static_cast<int>(codes[column / 4] >> (8 * (column % 4)) & 255u); }
};

std::uint16_t LoadU16(const std::byte* source) {
  std::uint16_t value;
  std::memcpy(&value, source, sizeof(value));
  return value;
}
std::uint32_t LoadU32(const std::byte* source) {
  std::uint32_t value;
  std::memcpy(&value, source, sizeof(value));
  return value;
}
void StoreU32(std::byte* target, std::uint32_t value) {
  std::memcpy(target, &value, sizeof(value));
}
int Byte(const std::byte* source, int i) {
  return std::to_integer<int>(source[i]);
}

// Q4_0, Q4_1, Q5_0, Q5_1: d, [m], [32 high bits], 16 bytes of nibbles (columns i and 16+i).
void DecodeNibbles(const TileLayout& layout, const std::byte* source, CodeBlock* block) {
  block->d = LoadU16(source);
  source += 2;
  if (layout.has_min) {
    block->m = LoadU16(source);
    source += 2;
  }
  std::uint32_t high = 0;
  if (layout.bits == 5) {
    high = LoadU32(source);
    source += 4;
  }
  for (int i = 0; i < 16; ++i) {
    block->Set(i, (Byte(source, i) & 15) | static_cast<int>(high >> i & 1u) << 4);
    block->Set(16 + i, Byte(source, i) >> 4 | static_cast<int>(high >> (16 + i) & 1u) << 4);
  }
}

void DecodeQ8_0(const std::byte* source, CodeBlock* block) {
  block->d = LoadU16(source);
  for (int i = 0; i < 32; ++i) block->Set(i, Byte(source, 2 + i) ^ 0x80);
}

// Sub-block `sub` of a Q4_K or Q5_K super-block: d, dmin, 12 bytes of 6-bit scales and minimums, [32 bytes of
// high bits], nibbles.
void DecodeK(const TileLayout& layout, const std::byte* source, int sub, CodeBlock* block) {
  block->d = LoadU16(source);
  block->m = LoadU16(source + 2);
  const std::byte* packed = source + 4;
  if (sub < 4) {
    block->scales[0] = static_cast<std::uint8_t>(Byte(packed, sub) & 63);
    block->scales[1] = static_cast<std::uint8_t>(Byte(packed, sub + 4) & 63);
  } else {
    block->scales[0] =
        static_cast<std::uint8_t>((Byte(packed, sub + 4) & 15) | Byte(packed, sub - 4) >> 6 << 4);
    block->scales[1] = static_cast<std::uint8_t>(Byte(packed, sub + 4) >> 4 | Byte(packed, sub) >> 6 << 4);
  }
  const std::byte* high = source + 16;
  const std::byte* nibbles = source + (layout.bits == 5 ? 48 : 16) + sub / 2 * 32;
  for (int i = 0; i < 32; ++i) {
    int code = sub % 2 == 0 ? Byte(nibbles, i) & 15 : Byte(nibbles, i) >> 4;
    if (layout.bits == 5) code |= (Byte(high, i) >> sub & 1) << 4;
    block->Set(i, code);
  }
}

// Columns 32 sub..32 sub+31 of a Q6_K super-block: low nibbles [128], upper bits [64], int8 scales [16], d.
void DecodeQ6_K(const std::byte* source, int sub, CodeBlock* block) {
  const int quarter = sub % 4;
  const std::byte* low = source + sub / 4 * 64 + quarter % 2 * 32;
  const std::byte* upper = source + 128 + sub / 4 * 32;
  block->d = LoadU16(source + 208);
  block->scales[0] = static_cast<std::uint8_t>(Byte(source, 192 + 2 * sub));
  block->scales[1] = static_cast<std::uint8_t>(Byte(source, 193 + 2 * sub));
  for (int i = 0; i < 32; ++i) {
    const int nibble = quarter < 2 ? Byte(low, i) & 15 : Byte(low, i) >> 4;
    block->Set(i, nibble | (Byte(upper, i) >> (2 * quarter) & 3) << 4);
  }
}

// Columns 32 b..32 b+31 of a row in file form.
CodeBlock DecodeBlock(WeightType type, const std::byte* row, int b) {
  const TileLayout& layout = GetTileLayout(type);
  const int block_bytes = GetWeightTypeInfo(type).block_bytes;
  CodeBlock block;
  if (layout.is_super()) {
    const std::byte* source = row + static_cast<std::size_t>(b / kSuperBlockTiles) * block_bytes;
    if (layout.bits == 6) {
      DecodeQ6_K(source, b % kSuperBlockTiles, &block);
    } else {
      DecodeK(layout, source, b % kSuperBlockTiles, &block);
    }
    return block;
  }
  const std::byte* source = row + static_cast<std::size_t>(b) * block_bytes;
  if (layout.bits == 8) {
    DecodeQ8_0(source, &block);
  } else {
    DecodeNibbles(layout, source, &block);
  }
  return block;
}

// Where four columns of a row lie within the code lines of a tile.
std::size_t LineOffset(int line, int row) {
  return 128 * line + 64 * (row / 16) + 4 * (row % 16);
}

void StoreCodes(const TileLayout& layout, int row, const std::uint32_t* words, std::byte* codes) {
  for (int j = 0; j < kCodeWords; ++j) {
    const std::uint32_t word = words[j];
    if (layout.bits == 8) {
      StoreU32(codes + LineOffset(j, row), word);
      continue;
    }
    std::byte* nibbles = codes + LineOffset(j % 4, row);
    StoreU32(nibbles, LoadU32(nibbles) | (word & 0x0f0f0f0fu) << (j < 4 ? 0 : 4));
    if (layout.bits == 5) {
      const std::uint32_t bits = word >> 4 & 0x01010101u;
      const std::uint32_t four = (bits | bits >> 7 | bits >> 14 | bits >> 21) & 15u;
      std::byte& target = codes[512 + 8 * (2 * j + row / 16) + row % 16 / 2];
      target |= static_cast<std::byte>(four << (4 * (row % 2)));
    } else if (layout.bits == 6) {
      std::byte* upper = codes + 512 + LineOffset(j / 4, row);
      StoreU32(upper, LoadU32(upper) | (word >> 4 & 0x03030303u) << (2 * (j % 4)));
    }
  }
}

void LoadCodes(const TileLayout& layout, int row, const std::byte* codes, std::uint32_t* words) {
  for (int j = 0; j < kCodeWords; ++j) {
    if (layout.bits == 8) {
      words[j] = LoadU32(codes + LineOffset(j, row));
      continue;
    }
    words[j] = LoadU32(codes + LineOffset(j % 4, row)) >> (j < 4 ? 0 : 4) & 0x0f0f0f0fu;
    if (layout.bits == 5) {
      const int four = Byte(codes, 512 + 8 * (2 * j + row / 16) + row % 16 / 2) >> (4 * (row % 2)) & 15;
      for (int b = 0; b < 4; ++b) words[j] |= static_cast<std::uint32_t>(four >> b & 1) << (8 * b + 4);
    } else if (layout.bits == 6) {
      const std::uint32_t upper = LoadU32(codes + 512 + LineOffset(j / 4, row));
      words[j] |= (upper >> (2 * (j % 4)) & 0x03030303u) << 4;
    }
  }
}

void StoreBlock(const TileLayout& layout, int row, const CodeBlock& block, std::byte* header,
                std::byte* tile) {
  std::byte* halves = layout.is_super() ? header : tile;
  std::memcpy(halves + 2 * row, &block.d, 2);
  if (layout.has_min) std::memcpy(halves + 2 * kTileRows + 2 * row, &block.m, 2);
  if (layout.is_super()) {
    tile[row] = static_cast<std::byte>(block.scales[0]);
    tile[kTileRows + row] = static_cast<std::byte>(block.scales[1]);
  }
  StoreCodes(layout, row, block.codes, tile + layout.scale_bytes);
}

CodeBlock LoadBlock(const TileLayout& layout, int row, const std::byte* header, const std::byte* tile) {
  CodeBlock block;
  const std::byte* halves = layout.is_super() ? header : tile;
  block.d = LoadU16(halves + 2 * row);
  if (layout.has_min) block.m = LoadU16(halves + 2 * kTileRows + 2 * row);
  if (layout.is_super()) {
    block.scales[0] = static_cast<std::uint8_t>(tile[row]);
    block.scales[1] = static_cast<std::uint8_t>(tile[kTileRows + row]);
  }
  LoadCodes(layout, row, tile + layout.scale_bytes, block.codes);
  return block;
}

// The arithmetic of Dequantize, in its order.
void ExpandBlock(const TileLayout& layout, const CodeBlock& block, float* out) {
  const float d = Fp16ToFloat(block.d);
  for (int i = 0; i < kTileColumns; ++i) {
    const auto code = static_cast<float>(block.Get(i) - layout.offset);
    if (layout.activation == ActivationKind::kTwoHalves) {
      out[i] = d * static_cast<float>(static_cast<std::int8_t>(block.scales[i / 16])) * code;
    } else if (layout.is_super()) {
      const float step = d * static_cast<float>(block.scales[0]);
      out[i] = step * code - Fp16ToFloat(block.m) * static_cast<float>(block.scales[1]);
    } else {
      out[i] = layout.has_min ? d * code + Fp16ToFloat(block.m) : d * code;
    }
  }
}

// Offset of element (row, column) of a float type within its tile.
std::size_t FloatOffset(WeightType type, int row, int column) {
  if (type == WeightType::kBF16) return LineOffset(column / 2, row) + 2 * (column % 2);
  return static_cast<std::size_t>(column * kTileRows + row) * (type == WeightType::kF32 ? 4 : 2);
}

}  // namespace

const TileLayout& GetTileLayout(WeightType type) {
  static constexpr std::array<TileLayout, kNumWeightTypes> kLayouts = {
      MakeTileLayout(WeightType::kF32),  MakeTileLayout(WeightType::kF16),  MakeTileLayout(WeightType::kBF16),
      MakeTileLayout(WeightType::kQ4_0), MakeTileLayout(WeightType::kQ4_1), MakeTileLayout(WeightType::kQ5_0),
      MakeTileLayout(WeightType::kQ5_1), MakeTileLayout(WeightType::kQ8_0), MakeTileLayout(WeightType::kQ4_K),
      MakeTileLayout(WeightType::kQ5_K), MakeTileLayout(WeightType::kQ6_K)};
  return kLayouts[static_cast<std::size_t>(type)];
}

std::size_t GroupBytes(WeightType type, int columns) {
  const TileLayout& layout = GetTileLayout(type);
  const std::size_t tiles = (static_cast<std::size_t>(columns) + kTileColumns - 1) / kTileColumns;
  return tiles * layout.tile_bytes + tiles / kSuperBlockTiles * layout.header_bytes;
}

void PackGroup(WeightType type, int columns, std::span<const std::byte* const> rows, std::byte* out) {
  const TileLayout& layout = GetTileLayout(type);
  std::byte* header = nullptr;
  const int element_bytes = GetWeightTypeInfo(type).block_bytes;
  for (int b = 0; b * kTileColumns < columns; ++b, out += layout.tile_bytes) {
    if (layout.is_super() && b % kSuperBlockTiles == 0) {
      header = out;
      out += layout.header_bytes;
    }
    for (int row = 0; row < static_cast<int>(rows.size()); ++row) {
      if (rows[row] == nullptr) continue;
      if (layout.bits > 0) {
        StoreBlock(layout, row, DecodeBlock(type, rows[row], b), header, out);
        continue;
      }
      for (int k = 0; k < kTileColumns && b * kTileColumns + k < columns; ++k)
        std::memcpy(out + FloatOffset(type, row, k),
                    rows[row] + static_cast<std::size_t>(b * kTileColumns + k) * element_bytes,
                    element_bytes);
    }
  }
}

void DequantizeGroupRow(WeightType type, int columns, const std::byte* group, int row, float* out) {
  const TileLayout& layout = GetTileLayout(type);
  const std::byte* header = nullptr;
  for (int b = 0; b * kTileColumns < columns; ++b, group += layout.tile_bytes) {
    if (layout.is_super() && b % kSuperBlockTiles == 0) {
      header = group;
      group += layout.header_bytes;
    }
    if (layout.bits > 0) {
      ExpandBlock(layout, LoadBlock(layout, row, header, group), out + b * kTileColumns);
      continue;
    }
    for (int k = 0; k < kTileColumns && b * kTileColumns + k < columns; ++k)
      Dequantize(type, group + FloatOffset(type, row, k), 1, out + b * kTileColumns + k);
  }
}

}  // namespace reprise
