#include "kernels/cuda/draw.h"

#include "kernels/cuda/device_math.h"
#include "kernels/cuda/launch.h"

namespace reprise::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarp;

struct DrawParameters {
  const float* logits;
  const DrawSpec* draws;
  TokenId* tokens;
  std::int64_t stride;
  int columns;
  int unused;
};

// base/noise.h on the device: SplitMix64's finaliser, and Gumbel noise for one token.
__device__ __forceinline__ std::uint64_t MixBitsOnDevice(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}
__device__ float GumbelOnDevice(std::uint64_t stream, int token) {
  const std::uint64_t key = 0x2545f4914f6cdd1dull * (static_cast<std::uint32_t>(token) + 1ull);
  const auto bits = static_cast<float>(MixBitsOnDevice(stream ^ key) >> 41);
  const double u = __fmul_rn(__fadd_rn(bits, 0.5f), 1.0f / 8388608.0f);
  return static_cast<float>(-log(-log(u)));
}

struct Best {
  float value;
  int token;  // -1: none yet
};

// Of equals the lower token; NaN and -infinity never win.
__device__ __forceinline__ Best Better(const Best& a, const Best& b) {
  if (b.token < 0) return a;
  if (a.token < 0 || b.value > a.value) return b;
  return b.value == a.value && b.token < a.token ? b : a;
}

// One block a row.
__global__ void __launch_bounds__(kThreads) DrawKernel(DrawParameters p) {
  SHARED_ARRAY(float, values, [kWarps]);
  SHARED_ARRAY(int, tokens, [kWarps]);
  const DrawSpec draw = p.draws[blockIdx.x];
  const float* row = p.logits + blockIdx.x * p.stride;
  Best best = {-INFINITY, -1};
  for (int token = static_cast<int>(threadIdx.x); token < p.columns; token += kThreads) {
    const float logit = row[token];
    if (!(logit > -INFINITY)) continue;
    float value = logit;
    if (draw.inverse_temperature > 0.0f)
      value = __fadd_rn(__fmul_rn(logit, draw.inverse_temperature), GumbelOnDevice(draw.noise_stream, token));
    best = Better(best, {value, token});
  }
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const float value = __shfl_xor_sync(kAllLanes, best.value, distance);
    const int token = __shfl_xor_sync(kAllLanes, best.token, distance);
    best = Better(best, {value, token});
  }
  if (threadIdx.x % kWarp == 0) {
    values[threadIdx.x / kWarp] = best.value;
    tokens[threadIdx.x / kWarp] = best.token;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int warp = 1; warp < kWarps; ++warp) best = Better(best, {values[warp], tokens[warp]});
  p.tokens[blockIdx.x] = best.token;
}

}  // namespace

void DrawTokens(Stream& stream, ConstMatrixView logits, const DrawSpec* draws, TokenId* tokens) {
  DrawParameters p = {};
  p.logits = logits.data;
  p.draws = draws;
  p.tokens = tokens;
  p.stride = logits.stride;
  p.columns = logits.columns;
  Launch(stream, &DrawKernel, dim3(logits.rows), kThreads, p);
}

}  // namespace reprise::cuda
