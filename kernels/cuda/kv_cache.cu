#include "kernels/cuda/kv_cache.h"

#include "kernels/cuda/device_math.h"
#include "kernels/cuda/launch.h"

namespace reprise::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarp;

__device__ __forceinline__ void StoreElement(const KvView& kv, std::byte* base, std::int64_t at, float value) {
  if (kv.is_f32 != 0) {
    reinterpret_cast<float*>(base)[at] = value;
  } else {
    reinterpret_cast<std::uint16_t*>(base)[at] = static_cast<std::uint16_t>(RoundToBf16Bits(value));
  }
}
__device__ __forceinline__ float LoadElement(const KvView& kv, const std::byte* base, std::int64_t at) {
  if (kv.is_f32 != 0) return reinterpret_cast<const float*>(base)[at];
  return Bf16BitsToFloat(reinterpret_cast<const std::uint16_t*>(base)[at]);
}

struct RotateParameters {
  KvView kv;
  float* qkv;
  const float* cos;
  const float* sin;
  const float* query_norm;
  const float* key_norm;
  const int* positions;
  const int* slots;
  std::int64_t stride;
  int num_heads;
  int rotary_dim;
  float epsilon;
  int unused;
};

// 1 / rms of a head, by a warp.
__device__ float HeadInverseRms(const float* x, int dim, float epsilon) {
  float squares = 0.0f;
  for (int i = static_cast<int>(threadIdx.x) % kWarp; i < dim; i += kWarp) squares = fmaf(x[i], x[i], squares);
  squares = WarpSum(squares);
  return 1.0f / sqrtf(__fadd_rn(squares / static_cast<float>(dim), epsilon));
}

// One head on its way to its place: a query's is where it came from, a key's the cache.
struct RotatedHead {
  const float* x;
  const float* norm;
  float inverse_rms;
  float* query;      // nullptr: a key
  std::int64_t key;  // element in the cache

  __device__ float Normed(int i) const {
    return norm == nullptr ? x[i] : __fmul_rn(__fmul_rn(x[i], inverse_rms), norm[i]);
  }
  __device__ void Store(const KvView& kv, int i, float value) const {
    if (query != nullptr) {
      query[i] = value;
    } else {
      StoreElement(kv, kv.keys, key + i, value);
    }
  }
};

__device__ void RotateHead(const RotateParameters& p, const RotatedHead& head, int position) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int half = p.rotary_dim / 2;
  const std::int64_t angle = static_cast<std::int64_t>(position) * half;
  for (int i = lane; i < half; i += kWarp) {
    const float a = head.Normed(i);
    const float b = head.Normed(i + half);
    const float cos = p.cos[angle + i];
    const float sin = p.sin[angle + i];
    head.Store(p.kv, i, __fadd_rn(__fmul_rn(a, cos), -__fmul_rn(b, sin)));
    head.Store(p.kv, i + half, __fadd_rn(__fmul_rn(b, cos), __fmul_rn(a, sin)));
  }
  for (int i = p.rotary_dim + lane; i < p.kv.head_dim; i += kWarp) head.Store(p.kv, i, head.Normed(i));
}

// grid (token, heads / kWarps): a warp takes one head of queries, keys or values.
__global__ void __launch_bounds__(kThreads) RotateKernel(RotateParameters p) {
  const int token = static_cast<int>(blockIdx.x);
  const int head = static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  const int dim = p.kv.head_dim;
  if (head >= p.num_heads + 2 * p.kv.num_kv_heads) return;  // the whole warp, and there is no barrier
  float* x = p.qkv + token * p.stride + static_cast<std::int64_t>(head) * dim;
  const bool is_query = head < p.num_heads;
  const std::int64_t at = is_query ? 0 : KvOffset(p.kv, p.slots[token], (head - p.num_heads) % p.kv.num_kv_heads);
  if (head >= p.num_heads + p.kv.num_kv_heads) {
    for (int i = static_cast<int>(threadIdx.x) % kWarp; i < dim; i += kWarp)
      StoreElement(p.kv, p.kv.values, at + i, x[i]);
    return;
  }
  const float* norm = is_query ? p.query_norm : p.key_norm;
  const float inverse_rms = norm != nullptr ? HeadInverseRms(x, dim, p.epsilon) : 1.0f;
  RotateHead(p, {x, norm, inverse_rms, is_query ? x : nullptr, at}, p.positions[token]);
}

struct CopyParameters {
  KvView kv;
  const int* src;
  const int* dst;
};

// grid (slot, kv head).
__global__ void __launch_bounds__(kThreads) CopyKernel(CopyParameters p) {
  const int kv_head = static_cast<int>(blockIdx.y);
  const std::int64_t from = KvOffset(p.kv, p.src[blockIdx.x], kv_head);
  const std::int64_t to = KvOffset(p.kv, p.dst[blockIdx.x], kv_head);
  for (int i = static_cast<int>(threadIdx.x); i < p.kv.head_dim; i += kThreads) {
    StoreElement(p.kv, p.kv.keys, to + i, LoadElement(p.kv, p.kv.keys, from + i));
    StoreElement(p.kv, p.kv.values, to + i, LoadElement(p.kv, p.kv.values, from + i));
  }
}

struct ReadParameters {
  KvView kv;
  const int* slots;
  float* keys;
  float* values;
};

// grid (slot, kv head).
__global__ void __launch_bounds__(kThreads) ReadKernel(ReadParameters p) {
  const int kv_head = static_cast<int>(blockIdx.y);
  const std::int64_t from = KvOffset(p.kv, p.slots[blockIdx.x], kv_head);
  const std::int64_t to = (std::int64_t{blockIdx.x} * p.kv.num_kv_heads + kv_head) * p.kv.head_dim;
  for (int i = static_cast<int>(threadIdx.x); i < p.kv.head_dim; i += kThreads) {
    p.keys[to + i] = LoadElement(p.kv, p.kv.keys, from + i);
    p.values[to + i] = LoadElement(p.kv, p.kv.values, from + i);
  }
}

}  // namespace

void RotateAndStore(Stream& stream, const RopeAndStoreKvArgs& args, const int* positions, const int* slots) {
  RotateParameters p = {};
  p.kv = ViewOf(args.kv);
  p.qkv = args.qkv.data;
  p.cos = args.rope.cos;
  p.sin = args.rope.sin;
  p.query_norm = args.query_norm;
  p.key_norm = args.key_norm;
  p.positions = positions;
  p.slots = slots;
  p.stride = args.qkv.stride;
  p.num_heads = args.num_heads;
  p.rotary_dim = args.rope.cos == nullptr      ? 0
                 : args.rope.rotary_dim > 0 ? args.rope.rotary_dim
                                            : args.kv.geometry.head_dim;
  p.epsilon = args.norm_epsilon;
  const int heads = args.num_heads + 2 * args.kv.geometry.num_kv_heads;
  Launch(stream, &RotateKernel, dim3(args.qkv.rows, (heads + kWarps - 1) / kWarps), kThreads, p);
}

void CopySlots(Stream& stream, const int* src, const int* dst, int count, const KvLayer& kv) {
  const CopyParameters p = {ViewOf(kv), src, dst};
  Launch(stream, &CopyKernel, dim3(count, kv.geometry.num_kv_heads), kThreads, p);
}

void ReadSlots(Stream& stream, const int* slots, int count, const KvLayer& kv, float* keys, float* values) {
  const ReadParameters p = {ViewOf(kv), slots, keys, values};
  Launch(stream, &ReadKernel, dim3(count, kv.geometry.num_kv_heads), kThreads, p);
}

}  // namespace reprise::cuda
