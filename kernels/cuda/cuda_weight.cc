#include "kernels/cuda/cuda_weight.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cuda/weight_codes.h"
#include "kernels/weight_sources.h"

namespace reprise::cuda {
namespace {

constexpr std::size_t kAlignment = 256;                     // of a part's values and scales
constexpr std::size_t kPieceBytes = std::size_t{32} << 20;  // packed on the host at a time

constexpr std::size_t RoundUp(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

bool IsQuantized(WeightType type) {
  return GetWeightTypeInfo(type).block_elements > 1;
}

PackedWeight ShapeOf(const WeightSource& source) {
  PackedWeight packed;
  packed.rows = source.rows;
  packed.columns = source.columns;
  switch (source.type) {
    case WeightType::kF32:
      packed.row_stride = static_cast<std::int64_t>(RoundUp(source.columns, 4));  // for loads of 16 bytes
      return packed;
    case WeightType::kBF16:
      packed.form = WeightForm::kBF16;
      break;
    case WeightType::kF16:
      packed.form = WeightForm::kF16;
      break;
    default: {
      const CodeFormat format = CodeFormatOf(source.type);
      packed.form = format.form;
      packed.scale_type = format.scale_type;
    }
  }
  const int segment = SegmentColumns(packed.form);
  packed.segments = (source.columns - 1) / segment + 1;
  if (!IsQuantized(source.type)) packed.row_stride = std::int64_t{packed.segments} * segment;
  return packed;
}

// Of 16 rows: what PackTile fills.
struct TileSize {
  std::size_t data_bytes;
  std::size_t scale_bytes;
};
TileSize TileSizeOf(const PackedWeight& packed) {
  switch (packed.form) {
    case WeightForm::kF32:
      return {kTileRows * static_cast<std::size_t>(packed.row_stride) * 4, 0};
    case WeightForm::kBF16:
    case WeightForm::kF16:
      return {kTileRows * static_cast<std::size_t>(packed.row_stride) * 2, 0};
    default:
      break;
  }
  const std::size_t groups = static_cast<std::size_t>(packed.segments) * GroupsPerSegment(packed.form);
  return {static_cast<std::size_t>(packed.segments) * kTileBytes,
          kTileRows * groups * ScaleBytes(packed.scale_type)};
}

int Tiles(const PackedWeight& packed) {
  return (packed.rows - 1) / kTileRows + 1;
}

// Where column `i` of a group's 32 lies: the lane's t and which of its eight.
struct LanePlace {
  int t;
  int element;
};
LanePlace PlaceOf(WeightForm form, int i) {
  if (form != WeightForm::kQ8Fine) return {i / 8, i % 8};
  return {i % 16 / 4, i / 16 * 4 + i % 4};
}

// One group of one row into its tile.
void PutCodes(const CodeFormat& format, const CodeGroup& group, int group_index, int row, std::byte* tile) {
  for (int i = 0; i < kGroupColumns; ++i) {
    const auto [t, element] = PlaceOf(format.form, i);
    const int lane = row % 8 * 4 + t;
    std::byte* lane_data = tile + row / 8 * (kTileBytes / 2) + lane * 16;
    const int code = group.codes[i] + format.code_offset;
    if (format.form == WeightForm::kQ4) {
      const int nibble = element / 2 + element % 2 * 4;  // of the word's eight
      lane_data[group_index * 4 + nibble / 2] |= static_cast<std::byte>(code << nibble % 2 * 4);
    } else {
      lane_data[group_index * 8 + element] = static_cast<std::byte>(code);
    }
  }
}

void PutScale(ScaleType type, const CodeGroup& group, std::byte* out) {
  if (type == ScaleType::kFloatPair) {
    std::memcpy(out, group.pair, sizeof(group.pair));
  } else {
    std::memcpy(out, group.half, static_cast<std::size_t>(ScaleBytes(type)));
  }
}

// Rows 16 tile .. 16 tile + 15 of the source; data and scales are zeroed.
void PackTile(const WeightSource& source, const PackedWeight& packed, int tile, std::byte* data,
              std::byte* scales) {
  const int rows = std::min(kTileRows, source.rows - tile * kTileRows);
  if (!IsQuantized(source.type)) {
    const std::size_t row_bytes = *WeightBytes(source.type, source.columns);
    const std::size_t stride = static_cast<std::size_t>(packed.row_stride) * (row_bytes / source.columns);
    for (int r = 0; r < rows; ++r)
      std::memcpy(data + stride * r, SourceRow(source, tile * kTileRows + r), row_bytes);
    return;
  }
  const CodeFormat format = CodeFormatOf(source.type);
  const int groups_per_segment = GroupsPerSegment(format.form);
  const int scale_bytes = ScaleBytes(format.scale_type);
  for (int r = 0; r < rows; ++r) {
    const std::byte* row = SourceRow(source, tile * kTileRows + r);
    for (int g = 0; g < source.columns / kGroupColumns; ++g) {
      CodeGroup group;
      ReadCodeGroup(source.type, row, g, &group);
      const int segment = g / groups_per_segment;
      const int within = g % groups_per_segment;
      PutCodes(format, group, within, r, data + static_cast<std::size_t>(segment) * kTileBytes);
      const std::size_t scale =
          (static_cast<std::size_t>(segment) * kTileRows + r) * groups_per_segment + within;
      PutScale(format.scale_type, group, scales + scale * scale_bytes);
    }
  }
}

// Packs a piece's tiles on all threads, sends them, goes on to the next.
void PackPart(const WeightSource& source, const PackedWeight& packed, Stream& stream, ThreadPool& threads) {
  const TileSize size = TileSizeOf(packed);
  const int tiles = Tiles(packed);
  const int piece = static_cast<int>(std::clamp<std::size_t>(kPieceBytes / size.data_bytes, 1, tiles));
  std::vector<std::byte> data, scales;
  for (int first = 0; first < tiles; first += piece) {
    const int count = std::min(piece, tiles - first);
    data.assign(size.data_bytes * count, std::byte{0});
    scales.assign(size.scale_bytes * count, std::byte{0});
    threads.ParallelFor(count, 1, [&](int begin, int end, int) {
      for (int i = begin; i < end; ++i) {
        PackTile(source, packed, first + i, data.data() + size.data_bytes * i,
                 scales.data() + size.scale_bytes * i);
      }
    });
    auto* device_data = static_cast<std::byte*>(const_cast<void*>(packed.data));
    auto* device_scales = static_cast<std::byte*>(const_cast<void*>(packed.scales));
    stream.Upload(device_data + size.data_bytes * first, data.data(), data.size());
    if (!scales.empty())
      stream.Upload(device_scales + size.scale_bytes * first, scales.data(), scales.size());
  }
}

std::string NameOf(const PackedWeight& packed) {
  switch (packed.form) {
    case WeightForm::kF32:
      return "f32";
    case WeightForm::kBF16:
      return "bf16";
    case WeightForm::kF16:
      return "f16";
    case WeightForm::kQ4:
      return "q4";
    default:
      return "q8";
  }
}

}  // namespace

CudaWeight::CudaWeight(std::span<const WeightSource> sources, Stream& stream)
    : Weight(StackedRows(sources), sources[0].columns), stream_(stream) {
  int first_row = 0;
  for (const WeightSource& source : sources) {
    parts_.push_back({ShapeOf(source), first_row});
    first_row += source.rows;
    const std::string name = NameOf(parts_.back().packed);
    if (form_.find(name) == std::string::npos) form_ += (form_.empty() ? "" : "+") + name;
  }
}

Result<std::unique_ptr<CudaWeight>> CudaWeight::Pack(std::span<const WeightSource> sources, Stream& stream,
                                                     ThreadPool& threads) {
  std::unique_ptr<CudaWeight> weight(new CudaWeight(sources, stream));
  std::vector<std::size_t> offsets;  // of each part's data and scales
  std::size_t bytes = 0;
  for (const Part& part : weight->parts_) {
    const TileSize size = TileSizeOf(part.packed);
    for (std::size_t of_tile : {size.data_bytes, size.scale_bytes}) {
      offsets.push_back(bytes);
      bytes += RoundUp(of_tile * Tiles(part.packed), kAlignment);
    }
  }
  weight->memory_ = stream.Allocate(bytes);
  if (weight->memory_ == nullptr) return stream.OutOfMemory(bytes, "weights");
  weight->bytes_ = bytes;
  auto* memory = static_cast<std::byte*>(weight->memory_);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    PackedWeight& packed = weight->parts_[i].packed;
    packed.data = memory + offsets[2 * i];
    packed.scales = memory + offsets[2 * i + 1];
    PackPart(sources[i], packed, stream, threads);
  }
  return weight;
}

}  // namespace reprise::cuda
