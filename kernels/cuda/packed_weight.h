// How weights lie in device memory. Quantised ones stay quantised; an element is code * scale [+ minimum],
// exactly as its file's format defines it.
//
// 16-bit weights are row-major, rows padded with zeros to whole segments, the number of rows to whole tiles.
// Codes lie in tiles of 16 rows by one segment of columns, a kibibyte each, in the order in which a warp loads
// them: for half = 0, 1 and lane = 4 g + t, 16 bytes of row 8 half + g. A segment is one or more groups of 32
// columns; of a group a lane holds the 8 columns 8 t .. 8 t + 7, or, where a scale covers only 16 columns,
// 4 t .. 4 t + 3 and 16 + 4 t .. 16 + 4 t + 3, so that one tensor-core product stays within one scale.
// 8-bit codes are stored with 128 added. Four-bit ones: word w of the 16 bytes is group w; column 2 i of the
// lane's eight is nibble i of the low half word and column 2 i + 1 nibble i of the high one.
// Scales: [tile][segment][row of the tile][group].
#pragma once

#include <cstdint>

#include "kernels/cuda/host_device.h"

namespace reprise::cuda {

inline constexpr int kTileRows = 16;
inline constexpr int kGroupColumns = 32;
inline constexpr int kTileBytes = 1024;
// What activations are padded to: a multiple of every form's segment.
inline constexpr int kColumnPadding = 128;

enum class WeightForm : std::uint8_t {
  kF32,
  kBF16,
  kF16,
  kQ4,
  kQ8,
  kQ8Fine,  // two scales a group, of 16 columns each
};

enum class ScaleType : std::uint8_t {
  kNone,
  kHalf,       // fp16 scale
  kHalfPair,   // fp16 scale, fp16 minimum
  kFloatPair,  // float scale, float minimum; of kQ8Fine: the group's two scales
};

struct PackedWeight {
  const void* data = nullptr;    // values or codes; 16-byte aligned
  const void* scales = nullptr;  // 16-byte aligned
  std::int64_t row_stride = 0;   // of values, in elements
  int rows = 0;
  int columns = 0;
  int segments = 0;  // in a row
  WeightForm form = WeightForm::kF32;
  ScaleType scale_type = ScaleType::kNone;
  std::uint8_t unused[6] = {};  // no padding: commands that hold this are compared byte by byte
};

REPRISE_HOST_DEVICE constexpr int GroupsPerSegment(WeightForm form) {
  return form == WeightForm::kQ4 ? 4 : form == WeightForm::kQ8 || form == WeightForm::kQ8Fine ? 2 : 1;
}
REPRISE_HOST_DEVICE constexpr int SegmentColumns(WeightForm form) {
  return kGroupColumns * GroupsPerSegment(form);
}
constexpr int ScaleBytes(ScaleType type) {
  return type == ScaleType::kNone        ? 0
         : type == ScaleType::kHalf      ? 2
         : type == ScaleType::kHalfPair  ? 4
                                         : 8;
}

}  // namespace reprise::cuda
