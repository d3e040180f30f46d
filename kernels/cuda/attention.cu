#include "kernels/cuda/attention.h"

#include "kernels/cuda/attention_state.h"
#include "kernels/cuda/attention_tile.h"
#include "kernels/cuda/kv_cache.h"
#include "kernels/cuda/launch.h"

namespace reprise::cuda {
namespace {

constexpr int kMergeThreads = 128;

// A row's partial result: values [padded head_dim], maximum, sum.
REPRISE_HOST_DEVICE constexpr int PartialFloats(int padded_dim) {
  return padded_dim + 2;
}

// Rows a block works on, in terms of the sequence.
struct BlockRows {
  int query_start;
  int context;
  int num_rows;
  int keys;  // of the sequence, this step's included

  __device__ BlockRows(const AttentionParameters& p, int sequence)
      : query_start(p.query_start[sequence]),
        context(p.context_len[sequence]),
        num_rows((p.query_start[sequence + 1] - query_start) * p.group),
        keys(context + num_rows / p.group) {}
};

// Where row `row`'s head begins in a matrix of heads.
__device__ __forceinline__ std::int64_t HeadOffset(const AttentionParameters& p, const BlockRows& rows,
                                                   int row, std::int64_t stride) {
  const int head = static_cast<int>(blockIdx.y) * p.group + row % p.group;
  return (rows.query_start + row / p.group) * stride + static_cast<std::int64_t>(head) * p.kv.head_dim;
}

template <int kDimTiles>
__device__ void LoadQueries(const AttentionParameters& p, const AttentionItem& item, const BlockRows& rows,
                            std::uint16_t* high, std::uint16_t* low) {
  constexpr int kDim = kDimTiles * 16;
  const int block_rows = static_cast<int>(blockDim.x) / kWarp * kRowTile;
  for (int i = static_cast<int>(threadIdx.x); i < block_rows * kDim; i += static_cast<int>(blockDim.x)) {
    const int row = item.first_row + i / kDim;
    const int d = i % kDim;
    float value = 0.0f;
    if (row < rows.num_rows && d < p.kv.head_dim)
      value = p.queries[HeadOffset(p, rows, row, p.query_stride) + d];
    const Bf16Split split = SplitBf16(value);
    high[i / kDim * SharedStride(kDim) + d] = static_cast<std::uint16_t>(split.high);
    low[i / kDim * SharedStride(kDim) + d] = static_cast<std::uint16_t>(split.low);
  }
}

// Whether no row of the block sees any key of the tile.
__device__ bool TileIsDead(const AttentionParameters& p, const AttentionItem& item, const BlockRows& rows,
                           int tile) {
  const int block_rows = static_cast<int>(blockDim.x) / kWarp * kRowTile;
  const int last_row = min(rows.num_rows, item.first_row + block_rows) - 1;
  const int last_seen = rows.context + last_row / p.group;
  if (tile * kKeyTile > last_seen) return true;
  const int first_seen = p.window > 0 ? rows.context + item.first_row / p.group - p.window + 1 : 0;
  return tile * kKeyTile + kKeyTile - 1 < first_seen;
}

// To the output, divided by the sum, or to the partial results as it is.
template <int kDimTiles>
__device__ void StoreState(const AttentionParameters& p, const AttentionItem& item, const BlockRows& rows,
                           const TileState<kDimTiles>& state) {
  constexpr int kDim = kDimTiles * 16;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int local = warp * kRowTile + half * 8 + lane / 4;
    const int row = item.first_row + local;
    if (row >= rows.num_rows) continue;
    const bool partial = item.partial_row >= 0;
    const std::int64_t partial_at =
        (static_cast<std::int64_t>(item.partial_row + local) * p.kv.num_kv_heads + blockIdx.y) *
        PartialFloats(kDim);
    float* out = partial ? p.partials + partial_at : p.out + HeadOffset(p, rows, row, p.out_stride);
#pragma unroll
    for (int n = 0; n < 2 * kDimTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int d = n * 8 + lane % 4 * 2 + i;
        const float value = state.values[n][2 * half + i];
        if (partial) {
          out[d] = value;
        } else if (d < p.kv.head_dim) {
          out[d] = value / state.softmax[half].sum;
        }
      }
    }
    if (partial && lane % 4 == 0) {
      out[kDim] = state.softmax[half].maximum;
      out[kDim + 1] = state.softmax[half].sum;
    }
  }
}

// grid (items, kv heads); a warp takes 16 of the block's rows, all warps share the tiles of keys.
template <int kDimTiles, bool kFloatKv>
__global__ void __launch_bounds__(kPrefillWarps* kWarp) AttentionKernel(AttentionParameters p) {
  constexpr int kDim = kDimTiles * 16;
  DYNAMIC_SHARED(std::uint16_t, shared);
  const AttentionItem item = p.items[blockIdx.x];
  if (item.sequence < 0) return;  // the whole block
  const BlockRows rows(p, item.sequence);
  const SharedTiles<kDimTiles, kFloatKv> tiles(shared);
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * kRowTile;
  std::uint16_t* query_low =
      tiles.queries + static_cast<int>(blockDim.x) / kWarp * kRowTile * SharedStride(kDim);
  LoadQueries<kDimTiles>(p, item, rows, tiles.queries, query_low);

  // The rows g and g + 8 of this lane: the last key each sees, -1 for rows that are not there.
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  int last_key[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = item.first_row + warp_row + half * 8 + lane / 4;
    last_key[half] = row < rows.num_rows ? rows.context + row / p.group : -1;
  }

  TileState<kDimTiles> total;
  total.Clear();
  for (int tile = item.first_tile; tile < item.first_tile + item.num_tiles; ++tile) {
    if (TileIsDead(p, item, rows, tile)) continue;
    __syncthreads();  // the queries are there; the last tile is no longer read
    LoadKeyTile<kDimTiles, kFloatKv>(p, p.block_ids + p.block_start[item.sequence], tile * kKeyTile,
                                     rows.keys, tiles);
    CommitAsyncCopies();
    WaitForAsyncCopies<0>();
    __syncthreads();
    TileState<kDimTiles> part;
    AttendTile<kDimTiles, kFloatKv>(p, tiles, tiles.queries + warp_row * SharedStride(kDim),
                                    query_low + warp_row * SharedStride(kDim), tile * kKeyTile, last_key,
                                    &part);
    total.Merge(part);
  }
  StoreState<kDimTiles>(p, item, rows, total);
}

struct MergeParameters {
  const MergeItem* items;
  const float* partials;
  const int* query_start;
  float* out;
  std::int64_t out_stride;
  int head_dim;
  int padded_dim;
  int num_kv_heads;
  int group;
};

// grid (items, kv heads); a thread takes some elements of the items' rows.
__global__ void __launch_bounds__(kMergeThreads) MergeKernel(MergeParameters p) {
  const MergeItem item = p.items[blockIdx.x];
  if (item.sequence < 0) return;
  const int kv_head = static_cast<int>(blockIdx.y);
  for (int i = static_cast<int>(threadIdx.x); i < item.num_rows * p.head_dim; i += kMergeThreads) {
    const int r = i / p.head_dim;
    const int d = i % p.head_dim;
    SoftmaxState state = EmptyState();
    float value = 0.0f;
    for (int part = 0; part < item.num_partials; ++part) {
      const std::int64_t row = item.first_partial + static_cast<std::int64_t>(part) * item.num_rows + r;
      const float* partial = p.partials + (row * p.num_kv_heads + kv_head) * PartialFloats(p.padded_dim);
      const MergeWeights weights = MergeStates(&state, {partial[p.padded_dim], partial[p.padded_dim + 1]});
      value = MergeValues(value, partial[d], weights);
    }
    const int row = item.first_row + r;
    const std::int64_t token = p.query_start[item.sequence] + row / p.group;
    const int head = kv_head * p.group + row % p.group;
    p.out[token * p.out_stride + static_cast<std::int64_t>(head) * p.head_dim + d] = value / state.sum;
  }
}

// In tiles of 16, one of those there are kernels for.
int DimTiles(int head_dim) {
  for (int tiles : {2, 4, 6, 8}) {
    if (head_dim <= tiles * 16) return tiles;
  }
  return kMaxHeadDim / 16;
}

template <int kDimTiles, bool kFloatKv>
void LaunchItems(Stream& stream, AttentionParameters p, const AttentionItem* items, int count, int warps) {
  p.items = items;
  const std::size_t shared = SharedTiles<kDimTiles, kFloatKv>::Bytes(warps);
  Launch(stream, &AttentionKernel<kDimTiles, kFloatKv>, dim3(count, p.kv.num_kv_heads), warps * kWarp, p,
         shared);
}

template <int kDimTiles>
void LaunchAll(Stream& stream, const AttentionParameters& p, const CudaAttentionPlan& plan,
               const CudaAttentionPlan::Staged& staged) {
  if (p.kv.is_f32 != 0) {
    LaunchItems<kDimTiles, true>(stream, p, staged.split_items, plan.num_split_items(), 1);
    LaunchItems<kDimTiles, true>(stream, p, staged.prefill_items, plan.num_prefill_items(), kPrefillWarps);
  } else {
    LaunchItems<kDimTiles, false>(stream, p, staged.split_items, plan.num_split_items(), 1);
    LaunchItems<kDimTiles, false>(stream, p, staged.prefill_items, plan.num_prefill_items(), kPrefillWarps);
  }
}

}  // namespace

std::size_t PartialBytes(const AttentionShape& shape, int num_partials) {
  const int padded = DimTiles(shape.head_dim) * 16;
  return static_cast<std::size_t>(num_partials) * shape.num_kv_heads * PartialFloats(padded) * sizeof(float);
}

void RunAttention(Stream& stream, const AttentionArgs& args, const CudaAttentionPlan& plan, float* partials) {
  const CudaAttentionPlan::Staged& staged = plan.Stage(stream);
  AttentionParameters p = {};
  p.kv = ViewOf(args.kv);
  p.queries = args.queries.data;
  p.out = args.out.data;
  p.partials = partials;
  p.query_start = staged.query_start;
  p.context_len = staged.context_len;
  p.block_start = staged.block_start;
  p.block_ids = staged.block_ids;
  p.query_stride = args.queries.stride;
  p.out_stride = args.out.stride;
  p.group = plan.shape().num_heads / plan.shape().num_kv_heads;
  p.window = args.sliding_window;
  p.scale = args.scale;
  const int dim_tiles = DimTiles(p.kv.head_dim);
  switch (dim_tiles) {
    case 2:
      LaunchAll<2>(stream, p, plan, staged);
      break;
    case 4:
      LaunchAll<4>(stream, p, plan, staged);
      break;
    case 6:
      LaunchAll<6>(stream, p, plan, staged);
      break;
    case 8:
      LaunchAll<8>(stream, p, plan, staged);
      break;
    default:
      LaunchAll<16>(stream, p, plan, staged);
  }
  MergeParameters merge = {};
  merge.items = staged.merge_items;
  merge.partials = partials;
  merge.query_start = staged.query_start;
  merge.out = args.out.data;
  merge.out_stride = args.out.stride;
  merge.head_dim = p.kv.head_dim;
  merge.padded_dim = dim_tiles * 16;
  merge.num_kv_heads = p.kv.num_kv_heads;
  merge.group = p.group;
  Launch(stream, &MergeKernel, dim3(plan.num_merge_items(), p.kv.num_kv_heads), kMergeThreads, merge);
}

}  // namespace reprise::cuda
