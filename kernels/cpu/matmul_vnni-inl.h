// Quantised weights times int8 activations with AVX-512 VNNI: 32 weight rows by up to six activation rows,
// unpacked once for all of them. The integer dot product of a tile is exact, and then
//   sum = fma(float(dot), weight scale * activation scale, sum)     [fma(minimum, scale * sum of q, sum)]
// so no blocking can change a bit.

REPRISE_INLINE __m512i BroadcastInt(const std::byte* p) {
  int value;
  __builtin_memcpy(&value, p, sizeof(value));
  return _mm512_set1_epi32(value);
}
REPRISE_INLINE __m512 BroadcastFloat(const std::byte* p) {
  float value;
  __builtin_memcpy(&value, p, sizeof(value));
  return _mm512_set1_ps(value);
}

// Codes of columns 4j..4j+3 (j = kLine + 4 kHalf) of rows 16h..16h+15, one byte each.
template <int kBits, int kLine, int kHalf>
REPRISE_INLINE __m512i LoadCodes(const std::byte* codes, int h) {
  if constexpr (kBits == 8) return _mm512_load_si512(codes + 128 * (kLine + 4 * kHalf) + 64 * h);
  __m512i code = _mm512_load_si512(codes + 128 * kLine + 64 * h);
  if constexpr (kHalf == 1) code = _mm512_srli_epi16(code, 4);
  code = _mm512_and_si512(code, _mm512_set1_epi8(15));
  if constexpr (kBits == 5) {
    std::uint64_t fifth;
    __builtin_memcpy(&fifth, codes + 512 + 8 * (2 * (kLine + 4 * kHalf) + h), sizeof(fifth));
    code = _mm512_mask_add_epi8(code, fifth, code, _mm512_set1_epi8(16));
  } else if constexpr (kBits == 6) {
    __m512i upper = _mm512_load_si512(codes + 512 + 128 * kHalf + 64 * h);
    if constexpr (kLine < 2) upper = _mm512_slli_epi16(upper, 4 - 2 * kLine);
    if constexpr (kLine == 3) upper = _mm512_srli_epi16(upper, 2);
    code = _mm512_or_si512(code, _mm512_and_si512(upper, _mm512_set1_epi8(0x30)));
  }
  return code;
}

// dot[r][h] += codes of one line and half times the activations of those columns.
template <int kBits, int kLine, int kHalf, int kRows>
REPRISE_INLINE void DotLine(const std::byte* codes, const std::byte* q, __m512i (&dot)[kRows][2]) {
  const __m512i code0 = LoadCodes<kBits, kLine, kHalf>(codes, 0);
  const __m512i code1 = LoadCodes<kBits, kLine, kHalf>(codes, 1);
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    __m512i x = BroadcastInt(q + 32 * r + 16 * kHalf + 4 * kLine);
    asm("" : "+v"(x));  // one broadcast for both: as two memory operands they would need a load each
    dot[r][0] = _mm512_dpbusd_epi32(dot[r][0], code0, x);
    dot[r][1] = _mm512_dpbusd_epi32(dot[r][1], code1, x);
  }
}

template <int kBits, int kHalf, int kRows>
REPRISE_INLINE void DotHalf(const std::byte* codes, const std::byte* q, __m512i (&dot)[kRows][2]) {
  DotLine<kBits, 0, kHalf>(codes, q, dot);
  DotLine<kBits, 1, kHalf>(codes, q, dot);
  DotLine<kBits, 2, kHalf>(codes, q, dot);
  DotLine<kBits, 3, kHalf>(codes, q, dot);
}

template <int kBits, int kRows>
REPRISE_INLINE void DotTile(const std::byte* codes, const std::byte* q, __m512i (&dot)[kRows][2]) {
  DotLine<kBits, 0, 0>(codes, q, dot);
  DotLine<kBits, 0, 1>(codes, q, dot);
  DotLine<kBits, 1, 0>(codes, q, dot);
  DotLine<kBits, 1, 1>(codes, q, dot);
  DotLine<kBits, 2, 0>(codes, q, dot);
  DotLine<kBits, 2, 1>(codes, q, dot);
  DotLine<kBits, 3, 0>(codes, q, dot);
  DotLine<kBits, 3, 1>(codes, q, dot);
}

template <int kRows>
REPRISE_INLINE void StartDots(const std::byte* starts, __m512i (&dot)[kRows][2]) {
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) dot[r][0] = dot[r][1] = BroadcastInt(starts + 4 * r);
}

REPRISE_INLINE __m512 SmallScales(const std::byte* bytes, bool is_signed) {
  const __m128i small = _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
  return _mm512_cvtepi32_ps(is_signed ? _mm512_cvtepi8_epi32(small) : _mm512_cvtepu8_epi32(small));
}

// Scales of rows 16h..16h+15 for the columns of half kHalf (which only matters to Q6_K).
template <WeightType kType, int kHalf>
REPRISE_INLINE __m512 TileScales(const std::byte* header, const std::byte* tile, int h) {
  constexpr TileLayout kLayout = kTileLayout<kType>;
  if constexpr (!kLayout.is_super()) return LoadFp16(tile + 32 * h);
  return _mm512_mul_ps(LoadFp16(header + 32 * h), SmallScales(tile + 32 * kHalf + 16 * h, kLayout.bits == 6));
}
// What times the scaled sum of activations is added; K types subtract a product, hence the sign.
template <WeightType kType>
REPRISE_INLINE __m512 TileMinimums(const std::byte* header, const std::byte* tile, int h) {
  if constexpr (!kTileLayout<kType>.is_super()) return LoadFp16(tile + 64 + 32 * h);
  const __m512 product =
      _mm512_mul_ps(LoadFp16(header + 64 + 32 * h), SmallScales(tile + 32 + 16 * h, false));
  return _mm512_xor_ps(product, _mm512_set1_ps(-0.0f));
}

template <WeightType kType, int kHalf, int kRows>
REPRISE_INLINE void AddScaled(const std::byte* header, const std::byte* tile, const std::byte* scales,
                              const __m512i (&dot)[kRows][2], __m512 (&sum)[kRows][2]) {
  const __m512 scale0 = TileScales<kType, kHalf>(header, tile, 0);
  const __m512 scale1 = TileScales<kType, kHalf>(header, tile, 1);
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    const __m512 s = BroadcastFloat(scales + 4 * r);
    sum[r][0] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[r][0]), _mm512_mul_ps(scale0, s), sum[r][0]);
    sum[r][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[r][1]), _mm512_mul_ps(scale1, s), sum[r][1]);
  }
}

template <WeightType kType, int kRows>
REPRISE_INLINE void AddMinimums(const std::byte* header, const std::byte* tile, const std::byte* scaled_sums,
                                __m512 (&sum)[kRows][2]) {
  const __m512 minimum0 = TileMinimums<kType>(header, tile, 0);
  const __m512 minimum1 = TileMinimums<kType>(header, tile, 1);
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    const __m512 s = BroadcastFloat(scaled_sums + 4 * r);
    sum[r][0] = _mm512_fmadd_ps(minimum0, s, sum[r][0]);
    sum[r][1] = _mm512_fmadd_ps(minimum1, s, sum[r][1]);
  }
}

// One tile; `q` is the panel's part for it.
template <WeightType kType, int kRows>
REPRISE_INLINE void MultiplyTile(const std::byte* header, const std::byte* tile, const std::byte* q,
                                 __m512 (&sum)[kRows][2]) {
  constexpr TileLayout kLayout = kTileLayout<kType>;
  const std::byte* codes = tile + kLayout.scale_bytes;
  const std::byte* scales = q + 32 * kRows;
  const std::byte* starts = q + 36 * kRows;
  __m512i dot[kRows][2];
  if constexpr (kLayout.activation == ActivationKind::kTwoHalves) {
    StartDots(starts, dot);
    DotHalf<kLayout.bits, 0>(codes, q, dot);
    AddScaled<kType, 0>(header, tile, scales, dot, sum);
    StartDots(starts + 4 * kRows, dot);
    DotHalf<kLayout.bits, 1>(codes, q, dot);
    AddScaled<kType, 1>(header, tile, scales, dot, sum);
  } else if constexpr (kLayout.activation == ActivationKind::kOffset) {
    StartDots(starts, dot);
    DotTile<kLayout.bits>(codes, q, dot);
    AddScaled<kType, 0>(header, tile, scales, dot, sum);
  } else {
    REPRISE_UNROLL
    for (int r = 0; r < kRows; ++r) dot[r][0] = dot[r][1] = _mm512_setzero_si512();
    DotTile<kLayout.bits>(codes, q, dot);
    AddScaled<kType, 0>(header, tile, scales, dot, sum);
    AddMinimums<kType>(header, tile, starts, sum);
  }
}

template <WeightType kType, int kRows>
void MatMulVnni(const std::byte* tiles, int tile_count, const std::byte* panel, float* sums,
                std::ptrdiff_t stride, bool resume, Prefetch prefetch) {
  constexpr TileLayout kLayout = kTileLayout<kType>;
  constexpr int kPanelTileBytes = (kLayout.activation == ActivationKind::kTwoHalves ? 44 : 40) * kRows;
  FetchForWriting<kRows>(sums, stride);
  __m512 sum[kRows][2];
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    sum[r][0] = resume ? _mm512_loadu_ps(sums + stride * r) : _mm512_setzero_ps();
    sum[r][1] = resume ? _mm512_loadu_ps(sums + stride * r + 16) : _mm512_setzero_ps();
  }
  const std::byte* header = nullptr;
  for (int t = 0; t < tile_count; ++t, tiles += kLayout.tile_bytes, panel += kPanelTileBytes) {
    FetchLines(&prefetch);
    if constexpr (kLayout.is_super()) {
      if (t % kSuperBlockTiles == 0) {
        header = tiles;
        tiles += kLayout.header_bytes;
      }
    }
    MultiplyTile<kType>(header, tiles, panel, sum);
  }
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    _mm512_storeu_ps(sums + stride * r, sum[r][0]);
    _mm512_storeu_ps(sums + stride * r + 16, sum[r][1]);
  }
}

// The peak of the instruction that all of these rest on (peak-inl.h).
[[maybe_unused]] std::int64_t PeakVnni(int rounds) {
  __m512i sums[kPeakChains];
  for (int i = 0; i < kPeakChains; ++i) sums[i] = _mm512_set1_epi32(i);
  const __m512i x = _mm512_set1_epi8(1);
  for (int round = 0; round < rounds; ++round) {
    REPRISE_UNROLL
    for (int i = 0; i < kPeakChains; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], x, x);
  }
  for (int i = 1; i < kPeakChains; ++i) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  std::int32_t result[16];
  _mm512_storeu_si512(result, sums[0]);
  asm volatile("" : : "r"(result) : "memory");
  return std::int64_t{2} * 64 * kPeakChains * rounds;
}
