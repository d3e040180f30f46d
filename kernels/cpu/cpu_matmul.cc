#include "kernels/cpu/cpu_matmul.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace reprise {
namespace {

// Activation rows of one pass over the weights: their panels stay in the second-level cache.
constexpr int kPassRows = 256;
// Columns of weights that are multiplied with every panel before going on: they and a panel stay in the
// first-level cache. The sums wait in memory meanwhile; order and bits stay the same.
constexpr int kChunkTiles = 32;
// How far ahead of the multiplication weights are fetched (measured: 8 KiB; 4 is slower, 16 no faster).
constexpr std::ptrdiff_t kPrefetchBytes = 8192;
// Of a thread's first weights, fetched after each row of activations that it has prepared; and in all.
constexpr int kRowPrefetchBytes = 2048;
constexpr int kFirstPrefetchBytes = 16384;
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
    case ActivationKind::kBf16:
      return 64;
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

// Of each chunk but the last: nearly alike, as each fetches the next one, and whole super-blocks.
int ChunkTiles(int tiles) {
  const int chunks = (tiles - 1) / kChunkTiles + 1;
  if (chunks == 1) return tiles;
  return ((tiles - 1) / chunks / kSuperBlockTiles + 1) * kSuperBlockTiles;
}

void FetchOutput(const MatrixView& out, int first_row, int rows, int column) {
  for (int r = 0; r < rows; ++r) {
    __builtin_prefetch(out.row(first_row + r) + column, 1);
    __builtin_prefetch(out.row(first_row + r) + column + 16, 1);
  }
}

}  // namespace

int CpuMatMul::PanelSet::PanelOfRow(int row) const {
  const int in_larger = larger_panels * (panel_rows + 1);
  return row < in_larger ? row / (panel_rows + 1) : larger_panels + (row - in_larger) / panel_rows;
}

CpuMatMul::PanelSet CpuMatMul::MakePanelSet(WeightType type, int rows, int tiles, int panel_rows) const {
  const TileLayout& layout = GetTileLayout(type);
  const ActivationKind kind = kernels_.activation[static_cast<int>(type)];
  const int panels = (rows + panel_rows - 1) / panel_rows;
  const std::size_t tile_row_bytes = PanelBytesPerTileRow(kind);
  return {.kind = kind,
          .offset = layout.offset,
          .rows = rows,
          .panels = panels,
          .panel_rows = rows / panels,
          .larger_panels = rows % panels,
          .tile_row_bytes = tile_row_bytes,
          .bytes_per_row = tile_row_bytes * tiles,
          .data = nullptr};
}

float* CpuMatMul::ThreadSums(int thread) const {
  return reinterpret_cast<float*>(scratch_.data()) + (kSumFloats + row_floats_) * thread;
}
float* CpuMatMul::ThreadRow(int thread) const {
  return ThreadSums(thread) + kSumFloats;
}

Status CpuMatMul::Prepare(const MatMulArgs& args) {
  const auto& weight = static_cast<const CpuWeight&>(*args.weight);
  const auto* second = static_cast<const CpuWeight*>(args.second.weight);
  REPRISE_CHECK(second == nullptr || (weight.parts().size() == 1 && second->parts().size() == 1 &&
                                      weight.rows() == second->rows()));
  const auto panel_rows = [&](WeightType type) { return kernels_.panel_rows[static_cast<int>(type)]; };
  const int most = second != nullptr ? panel_rows(second->parts()[0].type) : kMaxPanelRows;
  sets_.clear();
  set_of_part_.clear();
  for (const CpuWeight::Part& part : weight.parts()) {
    const PanelSet wanted =
        MakePanelSet(part.type, args.x.rows, weight.num_tiles(), std::min(most, panel_rows(part.type)));
    std::size_t i = 0;
    while (i < sets_.size() && (sets_[i].kind != wanted.kind || sets_[i].offset != wanted.offset ||
                                sets_[i].panels != wanted.panels))
      ++i;
    if (i == sets_.size()) sets_.push_back(wanted);
    set_of_part_.push_back(static_cast<int>(i));
  }
  first_sets_ = sets_.size();
  int tiles = weight.num_tiles();
  if (second != nullptr) {
    sets_.push_back(MakePanelSet(second->parts()[0].type, args.x.rows, second->num_tiles(),
                                 std::min(most, panel_rows(weight.parts()[0].type))));
    tiles = std::max(tiles, second->num_tiles());
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
  row_floats_ = static_cast<std::size_t>(tiles) * kTileColumns;
  return scratch_.Reserve(sizeof(float) * (kSumFloats + row_floats_) * threads_.num_threads());
}

// Puts a row of activations, padded with zeros to whole tiles, into its panel of every set. `x` may be the
// thread's own row.
void CpuMatMul::WriteRow(std::span<const PanelSet> sets, int row, const float* x, int columns,
                         int thread) const {
  const int tiles = (columns + kTileColumns - 1) / kTileColumns;
  if (columns % kTileColumns != 0) {
    float* padded = ThreadRow(thread);
    if (x != padded) std::copy_n(x, columns, padded);
    std::fill(padded + columns, padded + tiles * kTileColumns, 0.0f);
    x = padded;
  }
  for (const PanelSet& set : sets) {
    const int panel = set.PanelOfRow(row);
    kernels_.write_panel_row(
        {set.Panel(panel), set.Rows(panel), row - set.FirstRow(panel), set.kind, set.offset}, x, tiles);
  }
}

void CpuMatMul::WriteRows(const MatMulArgs& args, int row, int thread) const {
  const int columns = args.weight->columns();
  const float* x = args.x.row(row);
  float* prepared = ThreadRow(thread);
  switch (args.prologue) {
    case Prologue::kNone:
      prepared = nullptr;
      break;
    case Prologue::kRmsNorm:
      kernels_.rms_norm({x, args.norm.weight, prepared, columns, args.norm.norm_dim, args.norm.epsilon});
      break;
    case Prologue::kLayerNorm:
      kernels_.layer_norm(
          {x, args.layer_norm.weight, args.layer_norm.bias, prepared, columns, args.layer_norm.epsilon});
      break;
    case Prologue::kSiluMul:
      kernels_.silu_mul(x, x + columns, columns, prepared);
      break;
    case Prologue::kRelu:
      kernels_.relu(x, columns, prepared);
      break;
    case Prologue::kGeluTanh:
      kernels_.gelu_tanh(x, columns, prepared);
      break;
  }
  const std::span<const PanelSet> sets(sets_);
  WriteRow(sets.first(first_sets_), row, prepared != nullptr ? prepared : x, columns, thread);
  if (args.second.weight == nullptr) return;
  WriteRow(sets.subspan(first_sets_), row, args.second.x.row(row), args.second.weight->columns(), thread);
}

// Where the sums of panel rows go: straight to the output if nothing else happens to them and all 32 columns
// exist, otherwise to the thread's scratch.
CpuMatMul::SumsTarget CpuMatMul::TargetOf(const MatMulArgs& args, const CpuWeight::Part& part, int group,
                                          int thread) const {
  const int columns = std::min(kTileRows, part.rows - group * kTileRows);
  const bool direct = columns == kTileRows && args.bias == nullptr && !args.accumulate;
  return {direct, part.first_row + group * kTileRows, columns, ThreadSums(thread)};
}

void CpuMatMul::MultiplyChunk(const MatMulArgs& args, const Product& product, const Chunk& chunk,
                              const Pass& pass, const SumsTarget& target) const {
  const TileLayout& layout = *product.layout;
  const PanelSet& set = *product.set;
  const int panels = pass.last - pass.first;
  const int chunk_tiles = chunk.last_tile - chunk.first_tile;
  const std::byte* tiles = product.group + TileOffset(layout, chunk.first_tile);
  // One panel: it streams, and fetches some way ahead. Several: each fetches its part of the next chunk, so
  // that memory never idles while the weights at hand are multiplied.
  const std::byte* fetch =
      panels == 1 ? tiles + kPrefetchBytes : product.group + TileOffset(layout, chunk.last_tile);
  int tile_lines = layout.tile_bytes / 64;
  if (chunk.next_tiles > chunk_tiles) tile_lines = (tile_lines * chunk.next_tiles - 1) / chunk_tiles + 1;
  const int panel_lines = panels == 1 ? tile_lines : (tile_lines + panels - 1) / panels;
  int lines_left = tile_lines;
  for (int p = pass.first; p < pass.last; ++p) {
    const int rows = set.Rows(p);
    const int row = set.FirstRow(p);
    const std::byte* panel =
        set.data + set.bytes_per_row * row + set.tile_row_bytes * rows * chunk.first_tile;
    const int lines = std::min(panel_lines, lines_left);
    lines_left -= lines;
    // Sums that wait for further chunks need room of their own; others are written out at once.
    float* sums = target.direct
                      ? args.out.row(row) + target.column
                      : target.scratch + (chunk.only ? 0 : (row - set.FirstRow(pass.first)) * kTileRows);
    if (chunk.last && !target.direct) FetchOutput(args.out, row, rows, target.column);
    product.kernels[rows](tiles, chunk_tiles, panel, sums, target.direct ? args.out.stride : kTileRows,
                          chunk.resume, {fetch, lines});
    fetch += static_cast<std::ptrdiff_t>(lines) * 64 * chunk_tiles;
    if (chunk.last && !target.direct) {
      kernels_.write_sums({sums, rows, target.columns,
                           args.bias == nullptr ? nullptr : args.bias + target.column, args.accumulate,
                           args.out.row(row) + target.column, args.out.stride});
    }
  }
}

void CpuMatMul::MultiplyProduct(const MatMulArgs& args, const Product& product, const Pass& pass,
                                const SumsTarget& target) const {
  const int tiles = product.tiles;
  const int chunk_tiles = pass.last - pass.first == 1 ? tiles : ChunkTiles(tiles);
  const bool only = chunk_tiles == tiles && !product.resumes && product.finishes;
  for (int first = 0; first < tiles; first += chunk_tiles) {
    const int last = std::min(tiles, first + chunk_tiles);
    MultiplyChunk(args, product,
                  {first, last, last == tiles ? chunk_tiles : std::min(chunk_tiles, tiles - last), only,
                   product.resumes || first > 0, product.finishes && last == tiles},
                  pass, target);
  }
}

// The rows from `done` on, as many as a pass has.
void CpuMatMul::MultiplyGroup(const MatMulArgs& args, int group, int done, int thread) const {
  const auto& weight = static_cast<const CpuWeight&>(*args.weight);
  const auto* second = static_cast<const CpuWeight*>(args.second.weight);
  const CpuWeight::Part& part = weight.PartOfGroup(group);
  const PanelSet& set = sets_[set_of_part_[&part - weight.parts().data()]];
  // The panels that begin within this pass's rows.
  const int first = done == 0 ? 0 : set.PanelOfRow(done - 1) + 1;
  const int last = done + kPassRows >= set.rows ? set.panels : set.PanelOfRow(done + kPassRows - 1) + 1;
  if (first >= last) return;
  const int row_group = group - part.first_group;
  const SumsTarget target = TargetOf(args, part, row_group, thread);
  MultiplyProduct(args,
                  {&GetTileLayout(part.type), kernels_.matmul[static_cast<int>(part.type)],
                   part.group(row_group), weight.num_tiles(), &set, false, second == nullptr},
                  {first, last}, target);
  if (second == nullptr) return;
  const CpuWeight::Part& added = second->parts()[0];
  MultiplyProduct(args,
                  {&GetTileLayout(added.type), kernels_.matmul[static_cast<int>(added.type)],
                   added.group(row_group), second->num_tiles(), &sets_.back(), true, true},
                  {first, last}, target);
}

// Asks for the first weights of a thread's share, in part after each row of its share of the activations:
// memory would idle while they are prepared.
void CpuMatMul::FetchFirstWeights(const CpuWeight& weight, int piece, int row, int rows, int thread) const {
  const int threads = threads_.num_threads();
  const int offset = (row - rows * thread / threads) * kRowPrefetchBytes;
  if (offset < 0 || offset >= kFirstPrefetchBytes) return;
  const int pieces = (weight.num_groups() - 1) / piece + 1;
  const int group = static_cast<int>(std::int64_t{pieces} * thread / threads) * piece;
  const CpuWeight::Part& part = weight.PartOfGroup(group);
  const std::byte* first = part.group(group - part.first_group) + offset;
  for (int i = 0; i < kRowPrefetchBytes; i += 64) __builtin_prefetch(first + i);
}

Status CpuMatMul::Run(const MatMulArgs& args) {
  if (args.x.rows == 0) return OkStatus();
  RETURN_IF_ERROR(Prepare(args));
  const auto& weight = static_cast<const CpuWeight&>(*args.weight);
  const auto rows = static_cast<std::size_t>(args.x.rows);
  const int grain = rows * row_floats_ <= kSerialElements ? args.x.rows : 1;
  const int piece =
      std::clamp(weight.num_groups() / (kPiecesPerThread * threads_.num_threads()), 1, kMaxPieceGroups);
  threads_.ParallelFor(args.x.rows, grain, [&](int begin, int end, int thread) {
    for (int row = begin; row < end; ++row) {
      WriteRows(args, row, thread);
      if (grain == 1) FetchFirstWeights(weight, piece, row, args.x.rows, thread);
    }
  });
  for (int done = 0; done < args.x.rows; done += kPassRows) {
    threads_.ParallelFor(weight.num_groups(), piece, [&](int begin, int end, int thread) {
      for (int g = begin; g < end; ++g) MultiplyGroup(args, g, done, thread);
    });
  }
  return OkStatus();
}

}  // namespace reprise
