// Float, fp16 and bfloat16 weights times float activations: one fused multiply-add a weight, columns
// ascending, as the reference backend does it.

// Weights of columns 2i and 2i+1, rows 16h..16h+15.
template <WeightType kType>
REPRISE_INLINE void LoadColumnPair(const std::byte* tile, int i, int h, Vec* even, Vec* odd) {
  if constexpr (kType == WeightType::kBF16) {
    LoadBf16Pairs(tile + 128 * i + 64 * h, even, odd);
  } else if constexpr (kType == WeightType::kF16) {
    *even = LoadFp16(tile + 128 * i + 32 * h);
    *odd = LoadFp16(tile + 128 * i + 64 + 32 * h);
  } else {
    *even = Load(reinterpret_cast<const float*>(tile + 256 * i + 64 * h));
    *odd = Load(reinterpret_cast<const float*>(tile + 256 * i + 128 + 64 * h));
  }
}

// kHalves times 16 weight rows, from half `first`.
template <WeightType kType, int kRows, int kHalves>
REPRISE_INLINE void MultiplyHalves(const std::byte* tiles, int tile_count, const float* x, float* sums,
                                   std::ptrdiff_t stride, bool resume, int first, Prefetch prefetch) {
  Vec sum[kRows][kHalves];
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    REPRISE_UNROLL
    for (int h = 0; h < kHalves; ++h)
      sum[r][h] = resume ? Load(sums + stride * r + 16 * (first + h)) : Zero();
  }
  for (int t = 0; t < tile_count; ++t, tiles += kTileLayout<kType>.tile_bytes) {
    FetchLines(&prefetch);
    for (int i = 0; i < 16; ++i, x += 2 * kRows) {
      Vec even[kHalves], odd[kHalves];
      REPRISE_UNROLL
      for (int h = 0; h < kHalves; ++h) LoadColumnPair<kType>(tiles, i, first + h, &even[h], &odd[h]);
      REPRISE_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const Vec a = Set(x[r]);
        REPRISE_UNROLL
        for (int h = 0; h < kHalves; ++h) sum[r][h] = Fma(even[h], a, sum[r][h]);
      }
      REPRISE_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const Vec a = Set(x[kRows + r]);
        REPRISE_UNROLL
        for (int h = 0; h < kHalves; ++h) sum[r][h] = Fma(odd[h], a, sum[r][h]);
      }
    }
  }
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    REPRISE_UNROLL
    for (int h = 0; h < kHalves; ++h) Store(sums + stride * r + 16 * (first + h), sum[r][h]);
  }
}

template <WeightType kType, int kRows>
void MatMulFloat(const std::byte* tiles, int tile_count, const std::byte* panel, float* sums,
                 std::ptrdiff_t stride, bool resume, Prefetch prefetch) {
  FetchForWriting<kRows>(sums, stride);
  const auto* x = reinterpret_cast<const float*>(panel);
  constexpr int kHalves = kFloatHalves<kRows>;
  MultiplyHalves<kType, kRows, kHalves>(tiles, tile_count, x, sums, stride, resume, 0, prefetch);
  for (int first = kHalves; first < 2; first += kHalves)
    MultiplyHalves<kType, kRows, kHalves>(tiles, tile_count, x, sums, stride, resume, first, {});
}
