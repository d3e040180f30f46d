// How the CPU backend lays quantised and 16-bit weights out in memory.
//
// 32 output rows form a group; a group is a sequence of tiles of 32 rows x 32 columns, one stream a thread
// reads from end to end. A tile holds, each part a multiple of 64 bytes:
//   scales   [32 rows] fp16 d, then [32 rows] fp16 m where the type has minimums (Q4_0, Q4_1, Q5_0, Q5_1,
//            Q8_0); or [32 rows] uint8 scale, [32 rows] uint8 minimum (Q4_K, Q5_K); or [32 rows] int8 scale
//            of columns 0..15, [32 rows] the same of 16..31 (Q6_K)
//   codes    lines of 64 bytes: line (i, h) is rows 16h..16h+15, 4 bytes a row. 8-bit codes: i = 0..7, the
//            bytes are columns 4i..4i+3, stored + 128. Smaller codes: i = 0..3, low nibbles are columns
//            4i..4i+3 and high nibbles columns 16+4i..16+4i+3.
//   fifth bits   8 bytes for each (j = 0..7, h), j-major: bit 4r+b belongs to row 16h+r, column 4j+b
//   upper bits   (6-bit codes) lines (p = 0..1, h): bits 2i..2i+1 of byte 4r+b belong to column 16p+4i+b
// K types put the fp16 super-block scales d [32 rows] (and dmin [32 rows]) in a header before every 8th tile.
// Float types: BF16 lines (i = 0..15, h) hold columns 2i, 2i+1 of 16 rows; F16 and F32 hold [32 columns]
// [32 rows]. Nothing is rounded: a row's bytes come to what the file takes, plus at most 3 per cent.
#pragma once

#include "kernels/weight_type.h"

namespace reprise {

inline constexpr int kTileRows = 32;
inline constexpr int kTileColumns = 32;
inline constexpr int kSuperBlockTiles = 8;  // tiles that share a header

// What the activations are multiplied as. A layout names what its scales want; a leg may take float types
// otherwise (kernels/cpu/kernel_table.h).
enum class ActivationKind : unsigned char {
  kFloat,     // float [32]
  kBf16,      // bfloat16 [32]
  kOffset,    // int8 [32], scale, int32 start value -offset * sum
  kMinimum,   // int8 [32], scale, float scale * sum
  kTwoHalves  // int8 [32], scale, int32 start values of columns 0..15 and 16..31
};

struct TileLayout {
  int bits = 0;    // of a code: 4, 5, 6, 8; 0 for float types
  int offset = 0;  // subtracted from a code
  bool has_min = false;
  int header_bytes = 0;  // before every kSuperBlockTiles tiles
  int scale_bytes = 0;
  int tile_bytes = 0;  // without header
  ActivationKind activation = ActivationKind::kFloat;

  constexpr bool is_super() const { return header_bytes > 0; }
};

consteval TileLayout QuantTile(int bits, int offset, bool has_min, int header_bytes) {
  TileLayout layout;
  layout.bits = bits;
  layout.offset = offset;
  layout.has_min = has_min;
  layout.header_bytes = header_bytes;
  layout.scale_bytes = header_bytes == 0 && has_min ? 128 : 64;
  layout.tile_bytes = layout.scale_bytes + kTileRows * kTileColumns * bits / 8;
  layout.activation =
      has_min ? ActivationKind::kMinimum : (bits == 6 ? ActivationKind::kTwoHalves : ActivationKind::kOffset);
  return layout;
}
consteval TileLayout FloatTile(int element_bytes) {
  TileLayout layout;
  layout.tile_bytes = kTileRows * kTileColumns * element_bytes;
  return layout;
}

consteval TileLayout MakeTileLayout(WeightType type) {
  switch (type) {
    case WeightType::kF32:
      return FloatTile(4);
    case WeightType::kF16:
    case WeightType::kBF16:
      return FloatTile(2);
    case WeightType::kQ4_0:
      return QuantTile(4, 8, false, 0);
    case WeightType::kQ4_1:
      return QuantTile(4, 0, true, 0);
    case WeightType::kQ5_0:
      return QuantTile(5, 16, false, 0);
    case WeightType::kQ5_1:
      return QuantTile(5, 0, true, 0);
    case WeightType::kQ8_0:
      return QuantTile(8, 128, false, 0);
    case WeightType::kQ4_K:
      return QuantTile(4, 0, true, 128);
    case WeightType::kQ5_K:
      return QuantTile(5, 0, true, 128);
    case WeightType::kQ6_K:
      return QuantTile(6, 32, false, 64);
  }
  return {};
}

template <WeightType kType>
inline constexpr TileLayout kTileLayout = MakeTileLayout(kType);

// The same by run-time type (tile_pack.cc).
const TileLayout& GetTileLayout(WeightType type);

}  // namespace reprise
