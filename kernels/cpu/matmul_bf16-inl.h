// bfloat16 weights times activations rounded to bfloat16, with AVX-512's dot products of pairs: for each pair
// of columns, ascending, sum = fma(odd, odd, sum) and then sum = fma(even, even, sum), subnormal operands and
// results being zero (Intel SDM, volume 2, VDPBF16PS).

REPRISE_INLINE __m512bh LoadWeightPairs(const std::byte* p) {
  return __builtin_bit_cast(__m512bh, _mm512_load_si512(p));
}
REPRISE_INLINE __m512bh BroadcastPair(const std::byte* p) {
  int pair;
  __builtin_memcpy(&pair, p, sizeof(pair));
  __m512i x = _mm512_set1_epi32(pair);
  asm("" : "+v"(x));  // one broadcast for both halves: as two memory operands they would need a load each
  return __builtin_bit_cast(__m512bh, x);
}

template <int kRows>
REPRISE_INLINE void MultiplyBf16Tile(const std::byte* tile, const std::byte* x, __m512 (&sum)[kRows][2]) {
  for (int i = 0; i < 16; ++i) {
    const __m512bh weights0 = LoadWeightPairs(tile + 128 * i);
    const __m512bh weights1 = LoadWeightPairs(tile + 128 * i + 64);
    REPRISE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const __m512bh pair = BroadcastPair(x + 64 * r + 4 * i);
      sum[r][0] = _mm512_dpbf16_ps(sum[r][0], weights0, pair);
      sum[r][1] = _mm512_dpbf16_ps(sum[r][1], weights1, pair);
    }
  }
}

template <int kRows>
void MatMulBf16(const std::byte* tiles, int tile_count, const std::byte* panel, float* sums,
                std::ptrdiff_t stride, bool resume, Prefetch prefetch) {
  FetchForWriting<kRows>(sums, stride);
  __m512 sum[kRows][2];
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    sum[r][0] = resume ? _mm512_loadu_ps(sums + stride * r) : _mm512_setzero_ps();
    sum[r][1] = resume ? _mm512_loadu_ps(sums + stride * r + 16) : _mm512_setzero_ps();
  }
  for (int t = 0; t < tile_count; ++t) {
    FetchLines(&prefetch);
    MultiplyBf16Tile<kRows>(tiles, panel, sum);
    tiles += kTileLayout<WeightType::kBF16>.tile_bytes;
    panel += 64 * kRows;
  }
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    _mm512_storeu_ps(sums + stride * r, sum[r][0]);
    _mm512_storeu_ps(sums + stride * r + 16, sum[r][1]);
  }
}

// The peak of that instruction: see kernel_table.h.
std::int64_t PeakBf16(int rounds) {
  constexpr int kChains = 12;  // enough to hide its latency
  __m512 sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512bh x = __builtin_bit_cast(__m512bh, _mm512_set1_epi32(0x3f003f00));  // 0.5, 0.5
  for (int round = 0; round < rounds; ++round) {
    REPRISE_UNROLL
    for (int i = 0; i < kChains; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], x, x);
  }
  for (int i = 1; i < kChains; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  float result[16];
  _mm512_storeu_ps(result, sums[0]);
  asm volatile("" : : "r"(result) : "memory");
  return std::int64_t{2} * 32 * kChains * rounds;
}
