// What one instruction set provides to the CPU backend: a table of functions on plain memory. Each leg fills
// its own in a translation unit compiled for that instruction set; nothing else in the program is. Those
// units include no code shared with others (standard containers, inline functions): the linker keeps one copy
// of such a function, and it must not be the one a lesser CPU cannot run.
//
// All legs give the same bits but for products with bfloat16 weights, where a leg may have one of three
// families of instructions: fused multiply-adds of widened weights, dot products of pairs, tiles. It uses one
// for every number of rows. Every floating-point operation is spelled out, order included; subnormals are
// kept (FTZ and DAZ stay off on every thread), except by the last two families, whose instructions take them
// for zero.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/tile_layout.h"
#include "kernels/kv_type.h"

namespace reprise {

inline constexpr int kMaxPanelRows = 16;

// Memory to fetch while a kernel runs: `lines` cache lines for each tile it multiplies.
struct Prefetch {
  const std::byte* address = nullptr;
  int lines = 0;
};

// sums[r * stride + n] = sum over `tile_count` tiles of panel row r times weight row n, for 32 weight rows.
// `resume` continues the sums found there: cutting a row's tiles in several calls changes no bit.
using MatMulKernel = void (*)(const std::byte* tiles, int tile_count, const std::byte* panel, float* sums,
                              std::ptrdiff_t stride, bool resume, Prefetch prefetch);

// What is left to do with the sums of some rows [rows][kTileRows].
struct SumsToOutput {
  const float* sums = nullptr;
  int rows = 0;
  int columns = 0;              // of the 32
  const float* bias = nullptr;  // [columns] or nullptr
  bool accumulate = false;      // add to what `out` holds
  float* out = nullptr;
  std::ptrdiff_t stride = 0;
};

// A panel holds up to kMaxPanelRows activation rows; for each tile of 32 columns, with R rows:
//   kFloat                  float [32][R]
//   kBf16                   bfloat16 [R][32], rounded to nearest even
//   kOffset, kMinimum       int8 [R][32], float scale [R], {int32 -offset * sum | float scale * sum} [R]
//   kTwoHalves              int8 [R][32], float scale [R], int32 -offset * sum of columns 0..15 [R], 16..31
//   [R]
struct PanelRow {
  std::byte* panel = nullptr;
  int rows = 0;  // R
  int row = 0;
  ActivationKind kind = ActivationKind::kFloat;
  int offset = 0;
};

struct RmsNormRow {
  const float* x = nullptr;
  const float* weight = nullptr;  // or nullptr
  float* out = nullptr;           // may be x
  int columns = 0;
  int norm_dim = 0;
  float epsilon = 0.0f;
};

struct LayerNormRow {
  const float* x = nullptr;
  const float* weight = nullptr;
  const float* bias = nullptr;
  float* out = nullptr;  // may be x
  int columns = 0;
  float epsilon = 0.0f;
};

// One head: per-head norm (weight or nullptr), then rotation of the first rotary_dim dimensions by cos/sin
// [rotary_dim / 2].
struct RotateHead {
  const float* x = nullptr;
  const float* norm_weight = nullptr;
  const float* cos = nullptr;
  const float* sin = nullptr;
  float* out = nullptr;  // may be x
  int head_dim = 0;
  int rotary_dim = 0;  // 0: none
  float epsilon = 0.0f;
};

// The cache, per KV head and block, in tiles of 16 positions: keys [head_dim][16], values [16][head_dim]. A
// tile of int8 begins with the scales of its positions, float [16]; then keys are [head_dim / 2][16][2
// dimensions] and values [8][head_dim][2 positions].
inline constexpr int kKeyTile = 16;
// Attention is computed for partitions of this many positions, aligned to position 0, whose results are
// merged in ascending order. A row's bits depend on nothing else.
inline constexpr int kPartition = 256;
inline constexpr int kPartitionTiles = kPartition / kKeyTile;
inline constexpr int kMaxAttentionRows = 6;
// Below every score: the maximum of no scores.
inline constexpr float kNoScore = -1e30f;

// Unnormalised attention of some rows over some positions: weights are exp(score - maximum[r]).
struct AttentionState {
  float* maximum = nullptr;  // [rows]
  float* sum = nullptr;      // [rows] of weights
  float* values = nullptr;   // [rows][stride] weighted sums of values
  int stride = 0;            // head_dim rounded up to 16
};

// Rows (query heads of one KV head, of one or several tokens) over one partition.
struct AttendPartition {
  // float [head_dim][rows]; where the cache is int8, pairs of int16 in the places of floats
  // [head_dim / 2][rows], which times score_scale they are.
  const float* queries = nullptr;
  int rows = 0;  // at most kMaxAttentionRows
  int head_dim = 0;
  KvType type = KvType::kF32;                 // of the cache
  float score_scale[kMaxAttentionRows] = {};  // of each row
  // The tiles that hold the positions some row looks at, at most kPartitionTiles.
  const std::byte* const* key_tiles = nullptr;
  const std::byte* const* value_tiles = nullptr;
  int first[kMaxAttentionRows] = {};  // visible positions of each row, from the start of the first tile;
  int last[kMaxAttentionRows] = {};   // none if last < first
  // Tiles to fetch meanwhile, in the order in which they will be read; as many as are read now, or fewer.
  const std::byte* const* ahead = nullptr;
  int ahead_tiles = 0;
  AttentionState state;  // written
};

// States of the same rows, one after another in memory, that are merged in this order.
struct AttentionMerge {
  AttentionState to;
  AttentionState from;        // the first
  std::ptrdiff_t stride = 0;  // floats from one to the next
  int count = 1;
  int rows = 0;
  int head_dim = 0;
};

// Multiply-adds on registers alone, `rounds` of some; the operations done, a multiply-add being two.
using PeakLoop = std::int64_t (*)(int rounds);

struct KernelTable {
  const char* name = nullptr;
  ActivationKind activation[kNumWeightTypes] = {};               // by weight type
  int panel_rows[kNumWeightTypes] = {};                          // rows a panel may have, by weight type
  MatMulKernel matmul[kNumWeightTypes][kMaxPanelRows + 1] = {};  // by type and panel rows

  void (*rms_norm)(const RmsNormRow& row) = nullptr;
  void (*layer_norm)(const LayerNormRow& row) = nullptr;
  // out[i] = max(x[i], 0); GELU's tanh form. `out` may be x.
  void (*relu)(const float* x, int n, float* out) = nullptr;
  void (*gelu_tanh)(const float* x, int n, float* out) = nullptr;
  // out[i] += x[i]
  void (*add_row)(const float* x, int n, float* out) = nullptr;
  // out[i] = silu(gate[i]) * up[i]
  void (*silu_mul)(const float* gate, const float* up, int n, float* out) = nullptr;
  // out (+)= sums + bias
  void (*write_sums)(const SumsToOutput& work) = nullptr;
  // Writes x [32 * tiles] into its panel.
  void (*write_panel_row)(const PanelRow& target, const float* x, int tiles) = nullptr;
  void (*rotate_head)(const RotateHead& head) = nullptr;
  void (*attend)(const AttendPartition& work) = nullptr;
  // to += each of the states from `from` on
  void (*merge)(const AttentionMerge& work) = nullptr;
  // out[d] = values[row][d] / sum[row]
  void (*finish)(const AttentionState& state, int row, int head_dim, float* out) = nullptr;
  PeakLoop peak_integers = nullptr;  // int8, as the quantised matmuls multiply
  PeakLoop peak_bf16 = nullptr;      // as bfloat16 weights are multiplied
  PeakLoop peak_floats = nullptr;
};

// Each in its own translation unit. Call only on a CPU that has the instructions.
const KernelTable& Avx2Kernels();
const KernelTable& Avx512VnniKernels();
const KernelTable& Avx512Bf16Kernels();
const KernelTable& AmxKernels();

}  // namespace reprise
