// Float, fp16 and bfloat16 weights times float activations: one fused multiply-add a weight, columns
// ascending, as the reference backend does it.

REPRISE_INLINE void FetchLines(Prefetch* prefetch) {
  for (int i = 0; i < prefetch->lines; ++i, prefetch->address += 64)
    _mm_prefetch(reinterpret_cast<const char*>(prefetch->address), _MM_HINT_T0);
}

// The sums' cache lines are fetched while they are computed: the other cores had them last.
template <int kRows>
REPRISE_INLINE void FetchForWriting(const float* sums, std::ptrdiff_t stride) {
  for (int r = 0; r < kRows; ++r) {
    _m_prefetchw(const_cast<float*>(sums + stride * r));
    _m_prefetchw(const_cast<float*>(sums + stride * r + 16));
  }
}

// Weights of columns 2i and 2i+1: 32 rows each.
template <WeightType kType>
REPRISE_INLINE void LoadColumnPair(const std::byte* tile, int i, Vec (&even)[2], Vec (&odd)[2]) {
  REPRISE_UNROLL
  for (int h = 0; h < 2; ++h) {
    if constexpr (kType == WeightType::kBF16) {
      LoadBf16Pairs(tile + 128 * i + 64 * h, &even[h], &odd[h]);
    } else if constexpr (kType == WeightType::kF16) {
      even[h] = LoadFp16(tile + 128 * i + 32 * h);
      odd[h] = LoadFp16(tile + 128 * i + 64 + 32 * h);
    } else {
      even[h] = Load(reinterpret_cast<const float*>(tile + 256 * i + 64 * h));
      odd[h] = Load(reinterpret_cast<const float*>(tile + 256 * i + 128 + 64 * h));
    }
  }
}

template <WeightType kType, int kRows>
void MatMulFloat(const std::byte* tiles, int tile_count, const std::byte* panel, float* sums,
                 std::ptrdiff_t stride, bool resume, Prefetch prefetch) {
  FetchForWriting<kRows>(sums, stride);
  Vec sum[kRows][2];
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    sum[r][0] = resume ? Load(sums + stride * r) : Zero();
    sum[r][1] = resume ? Load(sums + stride * r + 16) : Zero();
  }
  const auto* x = reinterpret_cast<const float*>(panel);
  for (int t = 0; t < tile_count; ++t, tiles += kTileLayout<kType>.tile_bytes) {
    FetchLines(&prefetch);
    for (int i = 0; i < 16; ++i, x += 2 * kRows) {
      Vec even[2], odd[2];
      LoadColumnPair<kType>(tiles, i, even, odd);
      REPRISE_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const Vec a = Set(x[r]);
        sum[r][0] = Fma(even[0], a, sum[r][0]);
        sum[r][1] = Fma(even[1], a, sum[r][1]);
      }
      REPRISE_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const Vec a = Set(x[kRows + r]);
        sum[r][0] = Fma(odd[0], a, sum[r][0]);
        sum[r][1] = Fma(odd[1], a, sum[r][1]);
      }
    }
  }
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    Store(sums + stride * r, sum[r][0]);
    Store(sums + stride * r + 16, sum[r][1]);
  }
}
