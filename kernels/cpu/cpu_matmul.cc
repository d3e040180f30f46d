#include "kernels/cpu/cpu_matmul.h"

#include <algorithm>
#include <cstring>

namespace reprise {
namespace {

// Activation rows of one pass over the weights: their panels stay in the second-level cache.
constexpr int kPassRows = 256;
// Columns of weights that are multiplied with every panel before going on: they and a panel stay in the
// first-level cache. The sums wait in memory meanwhile; order and bits stay the same.
constexpr int kChunkTiles = 32;
// How far ahead of the multiplication weights are fetched (measured: 8 KiB; 4 is slower, 16 no faster).
constexpr std::ptrdiff_t kPrefetchBytes = 8192;
// Activations up to this many elements are prepared by the caller alone: starting a loop costs more.
constexpr int kSerialElements = 4096;

// Groups a thread takes at a time: few enough to share the work evenly, but every taking waits for the output
// that was just written.
constexpr int kPiecesPerThread = 12;
constexpr int kMaxPieceGroups = 16;

constexpr std::size_t kSumFloats = static_cast<std::size_t>(kPassRows + kMaxPanelRows) * kTileRows;

std::size_t PanelBytesPerTileRow(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::kFloat:
      return 128;
    case ActivationKind::kTwoHalves:
      return 44;
    default:
      return 40;
  }
}

std::size_t TileOffset(const TileLayout& layout, int tile) {
  return static_cast<std::size_t>(tile) * layout.tile_bytes +
         static_cast<std::size_t>(tile / kSuperBlockTiles) * layout.header_bytes;
}

void FetchOutput(const MatrixView& out, int first_row, int rows, int column) {
  for (int r = 0; r < rows; ++r) {
    __builtin_prefetch(out.row(first_row + r) + column, 1);
    __builtin_prefetch(out.row(first_row + r) + column + 16, 1);
  }
}

}  // namespace

int CpuMatMul::PanelSet::PanelOfRow(int row) const {
  const int larger = rows % panels;  // the first `larger` panels have one row more
  const int size = rows / panels;
  const int in_larger = larger * (size + 1);
  return row < in_larger ? row / (size + 1) : larger + (row - in_larger) / size;
}

CpuMatMul::PanelSet CpuMatMul::MakePanelSet(WeightType type, int rows, int tiles) const {
  const TileLayout& layout = GetTileLayout(type);
  const int most = kernels_.panel_rows[static_cast<int>(type)];
  return {layout.activation,
          layout.offset,
          rows,
          (rows + most - 1) / most,
          PanelBytesPerTileRow(layout.activation) * tiles,
          nullptr};
}

float* CpuMatMul::ThreadSums(int thread) const {
  return reinterpret_cast<float*>(scratch_.data()) + (kSumFloats + row_floats_) * thread;
}
float* CpuMatMul::ThreadRow(int thread) const {
  return ThreadSums(thread) + kSumFloats;
}

Status CpuMatMul::Prepare(const MatMulArgs& args) {
  const auto& weight = static_cast<const CpuWeight&>(*args.weight);
  sets_.clear();
  set_of_part_.clear();
  for (const CpuWeight::Part& part : weight.parts()) {
    const PanelSet wanted = MakePanelSet(part.type, args.x.rows, weight.num_tiles());
    std::size_t i = 0;
    while (i < sets_.size() && (sets_[i].kind != wanted.kind || sets_[i].offset != wanted.offset ||
                                sets_[i].panels != wanted.panels))
      ++i;
    if (i == sets_.size()) sets_.push_back(wanted);
    set_of_part_.push_back(static_cast<int>(i));
  }
  // A kernel may read, but not use, whole panels of kMaxPanelRows int8 rows beyond a smaller panel.
  constexpr std::size_t kSlack = kMaxPanelRows * kTileColumns;
  std::size_t bytes = 0;
  for (const PanelSet& set : sets_) bytes += (set.bytes_per_row * set.rows + kSlack + 63) / 64 * 64;
  RETURN_IF_ERROR(panels_.Reserve(bytes));
  std::byte* data = panels_.data();
  for (PanelSet& set : sets_) {
    set.data = data;
    data += (set.bytes_per_row * set.rows + kSlack + 63) / 64 * 64;
  }
  row_floats_ = static_cast<std::size_t>(weight.num_tiles()) * kTileColumns;
  return scratch_.Reserve(sizeof(float) * (kSumFloats + row_floats_) * threads_.num_threads());
}

void CpuMatMul::WriteRow(const MatMulArgs& args, int row, int thread) const {
  const int columns = args.weight->columns();
  const float* x = args.x.row(row);
  const bool whole = static_cast<std::size_t>(columns) == row_floats_;
  if (args.prologue != Prologue::kNone || !whole) {
    float* prepared = ThreadRow(thread);
    std::fill(prepared + columns, prepared + row_floats_, 0.0f);
    if (args.prologue == Prologue::kRmsNorm) {
      kernels_.rms_norm({x, args.norm.weight, prepared, columns, args.norm.norm_dim, args.norm.epsilon});
    } else if (args.prologue == Prologue::kSiluMul) {
      kernels_.silu_mul(x, x + columns, columns, prepared);
    } else {
      std::copy_n(x, columns, prepared);
    }
    x = prepared;
  }
  const int tiles = static_cast<int>(row_floats_) / kTileColumns;
  for (const PanelSet& set : sets_) {
    const int panel = set.PanelOfRow(row);
    kernels_.write_panel_row(
        {set.Panel(panel), set.Rows(panel), row - set.FirstRow(panel), set.kind, set.offset}, x, tiles);
  }
}

// Where the sums of panel rows go: straight to the output if nothing else happens to them and all 32 columns
// exist, otherwise to the thread's scratch.
CpuMatMul::SumsTarget CpuMatMul::TargetOf(const MatMulArgs& args, const CpuWeight::Part& part, int group,
                                          int thread) const {
  const int columns = std::min(kTileRows, part.rows - group * kTileRows);
  const bool direct = columns == kTileRows && args.bias == nullptr && !args.accumulate;
  return {direct, part.first_row + group * kTileRows, columns, ThreadSums(thread)};
}

void CpuMatMul::MultiplyChunk(const MatMulArgs& args, const CpuWeight::Part& part, const std::byte* group,
                              Chunk chunk, const Pass& pass, const SumsTarget& target) const {
  const TileLayout& layout = GetTileLayout(part.type);
  const PanelSet& set = *pass.set;
  const int panels = pass.last - pass.first;
  const std::byte* tiles = group + TileOffset(layout, chunk.first_tile);
  // One panel: it streams, and fetches some way ahead. Several: each fetches its part of the next chunk, so
  // that memory never idles while the weights at hand are multiplied.
  const std::byte* fetch = panels == 1 ? tiles + kPrefetchBytes : group + TileOffset(layout, chunk.last_tile);
  const int tile_lines = layout.tile_bytes / 64;
  int lines_left = tile_lines;
  for (int p = pass.first; p < pass.last; ++p) {
    const int rows = set.Rows(p);
    const int row = set.FirstRow(p);
    const std::byte* panel = set.Panel(p) + PanelBytesPerTileRow(set.kind) * rows * chunk.first_tile;
    const int lines = std::min((tile_lines + panels - 1) / panels, lines_left);
    lines_left -= lines;
    // Sums that wait for further chunks need room of their own; others are written out at once.
    float* sums = target.direct
                      ? args.out.row(row) + target.column
                      : target.scratch + (chunk.only ? 0 : (row - set.FirstRow(pass.first)) * kTileRows);
    if (chunk.last && !target.direct) FetchOutput(args.out, row, rows, target.column);
    kernels_.matmul[static_cast<int>(part.type)][rows](tiles, chunk.last_tile - chunk.first_tile, panel, sums,
                                                       target.direct ? args.out.stride : kTileRows,
                                                       chunk.first_tile > 0, {fetch, lines});
    fetch += static_cast<std::ptrdiff_t>(lines) * 64 * (chunk.last_tile - chunk.first_tile);
    if (chunk.last && !target.direct) {
      kernels_.write_sums({sums, rows, target.columns,
                           args.bias == nullptr ? nullptr : args.bias + target.column, args.accumulate,
                           args.out.row(row) + target.column, args.out.stride});
    }
  }
}

void CpuMatMul::MultiplyGroup(const MatMulArgs& args, const CpuWeight::Part& part, int group,
                              const Pass& pass, int thread) const {
  const int tiles = static_cast<int>(row_floats_) / kTileColumns;
  const int chunk_tiles = pass.last - pass.first == 1 ? tiles : std::min(tiles, kChunkTiles);
  const SumsTarget target = TargetOf(args, part, group, thread);
  for (int first = 0; first < tiles; first += chunk_tiles) {
    const int last = std::min(tiles, first + chunk_tiles);
    MultiplyChunk(args, part, part.group(group), {first, last, chunk_tiles == tiles, last == tiles}, pass,
                  target);
  }
}

Status CpuMatMul::Run(const MatMulArgs& args) {
  if (args.x.rows == 0) return OkStatus();
  RETURN_IF_ERROR(Prepare(args));
  const auto& weight = static_cast<const CpuWeight&>(*args.weight);
  const auto rows = static_cast<std::size_t>(args.x.rows);
  const int grain = rows * row_floats_ <= kSerialElements ? args.x.rows : 1;
  threads_.ParallelFor(args.x.rows, grain, [&](int begin, int end, int thread) {
    for (int row = begin; row < end; ++row) WriteRow(args, row, thread);
  });
  const int piece =
      std::clamp(weight.num_groups() / (kPiecesPerThread * threads_.num_threads()), 1, kMaxPieceGroups);
  for (int done = 0; done < args.x.rows; done += kPassRows) {
    threads_.ParallelFor(weight.num_groups(), piece, [&](int begin, int end, int thread) {
      for (int g = begin; g < end; ++g) {
        const CpuWeight::Part& part = weight.PartOfGroup(g);
        const PanelSet& set = sets_[set_of_part_[&part - weight.parts().data()]];
        // The panels that begin within this pass's rows.
        const int first = done == 0 ? 0 : set.PanelOfRow(done - 1) + 1;
        const int last = done + kPassRows >= set.rows ? set.panels : set.PanelOfRow(done + kPassRows - 1) + 1;
        if (first < last) MultiplyGroup(args, part, g - part.first_group, {&set, first, last}, thread);
      }
    });
  }
  return OkStatus();
}

}  // namespace reprise
