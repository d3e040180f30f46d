// Quantised weights times int8 activations with AVX2: the tiles, panels and arithmetic of matmul_vnni-inl.h,
// eight weight rows (a quarter of a tile) at a time. Unsigned codes times signed activations are summed in
// pairs to 16 bits, and as many such sums are added there as cannot overflow.

REPRISE_INLINE __m256i BroadcastInt(const std::byte* p) {
  int value;
  __builtin_memcpy(&value, p, sizeof(value));
  return _mm256_set1_epi32(value);
}
REPRISE_INLINE __m256 BroadcastFloat(const std::byte* p) {
  float value;
  __builtin_memcpy(&value, p, sizeof(value));
  return _mm256_set1_ps(value);
}
REPRISE_INLINE __m256i LoadBytes(const std::byte* p) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
}

// 32 bits to 32 bytes of 16 or 0.
REPRISE_INLINE __m256i SpreadFifthBits(const std::byte* bits) {
  const __m256i which = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,  //
                                         2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
  const __m256i bytes = _mm256_and_si256(_mm256_shuffle_epi8(BroadcastInt(bits), which), bit);
  return _mm256_and_si256(_mm256_cmpeq_epi8(bytes, bit), _mm256_set1_epi8(16));
}

// Codes of columns 4j..4j+3 (j = kLine + 4 kHalf) of rows 8 quarter..8 quarter+7, one byte each.
template <int kBits, int kLine, int kHalf>
REPRISE_INLINE __m256i LoadCodes(const std::byte* codes, int quarter) {
  if constexpr (kBits == 8) return LoadBytes(codes + 128 * (kLine + 4 * kHalf) + 32 * quarter);
  __m256i code = LoadBytes(codes + 128 * kLine + 32 * quarter);
  if constexpr (kHalf == 1) code = _mm256_srli_epi16(code, 4);
  code = _mm256_and_si256(code, _mm256_set1_epi8(15));
  if constexpr (kBits == 5) {
    code = _mm256_or_si256(code, SpreadFifthBits(codes + 512 + 16 * (kLine + 4 * kHalf) + 4 * quarter));
  } else if constexpr (kBits == 6) {
    __m256i upper = LoadBytes(codes + 512 + 128 * kHalf + 32 * quarter);
    if constexpr (kLine < 2) upper = _mm256_slli_epi16(upper, 4 - 2 * kLine);
    if constexpr (kLine == 3) upper = _mm256_srli_epi16(upper, 2);
    code = _mm256_or_si256(code, _mm256_and_si256(upper, _mm256_set1_epi8(0x30)));
  }
  return code;
}

REPRISE_INLINE __m256i WidenSum(__m256i pairs) {
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

// pairs[r] += products of one line and half, added in pairs to 16 bits (7-bit codes at most).
template <int kBits, int kLine, int kHalf, int kRows>
REPRISE_INLINE void AddPairs(const std::byte* codes, int quarter, const std::byte* q,
                             __m256i (&pairs)[kRows]) {
  const __m256i code = LoadCodes<kBits, kLine, kHalf>(codes, quarter);
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    const __m256i x = BroadcastInt(q + 32 * r + 16 * kHalf + 4 * kLine);
    pairs[r] = _mm256_add_epi16(pairs[r], _mm256_maddubs_epi16(code, x));
    asm("" : "+x"(pairs[r]));  // else GCC turns the chain of sums into a tree that does not fit the registers
  }
}

// dot[r] += products of one line and half of 8-bit codes. Stored + 128; w * x = |w| * sign(x, w) keeps a pair
// within 2 * 128 * 127, where unsigned codes would saturate.
template <int kLine, int kHalf, int kRows>
REPRISE_INLINE void AddBytes(const std::byte* codes, int quarter, const std::byte* q, __m256i (&dot)[kRows]) {
  const __m256i code = LoadCodes<8, kLine, kHalf>(codes, quarter);
  const __m256i w = _mm256_xor_si256(code, _mm256_set1_epi8(static_cast<char>(0x80)));
  const __m256i magnitude = _mm256_abs_epi8(w);
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    const __m256i x = BroadcastInt(q + 32 * r + 16 * kHalf + 4 * kLine);
    dot[r] = _mm256_add_epi32(dot[r], WidenSum(_mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, w))));
    asm("" : "+x"(dot[r]));  // as above
  }
}

template <int kRows>
REPRISE_INLINE void FlushPairs(__m256i (&pairs)[kRows], __m256i (&dot)[kRows]) {
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    dot[r] = _mm256_add_epi32(dot[r], WidenSum(pairs[r]));
    pairs[r] = _mm256_setzero_si256();
  }
}

// Columns of one half. A pair is at most 2 * 127 * (2^bits - 1): 8 of 4-bit codes fit 16 bits, 4 of 5-bit, 2
// of 6-bit.
template <int kBits, int kHalf, int kRows>
REPRISE_INLINE void DotHalf(const std::byte* codes, int quarter, const std::byte* q, __m256i (&pairs)[kRows],
                            __m256i (&dot)[kRows]) {
  if constexpr (kBits == 8) {
    AddBytes<0, kHalf>(codes, quarter, q, dot);
    AddBytes<1, kHalf>(codes, quarter, q, dot);
    AddBytes<2, kHalf>(codes, quarter, q, dot);
    AddBytes<3, kHalf>(codes, quarter, q, dot);
  } else {
    AddPairs<kBits, 0, kHalf>(codes, quarter, q, pairs);
    AddPairs<kBits, 1, kHalf>(codes, quarter, q, pairs);
    if constexpr (kBits == 6) FlushPairs(pairs, dot);
    AddPairs<kBits, 2, kHalf>(codes, quarter, q, pairs);
    AddPairs<kBits, 3, kHalf>(codes, quarter, q, pairs);
    if constexpr (kBits > 4 || kHalf == 1) FlushPairs(pairs, dot);
  }
}

REPRISE_INLINE __m256 SmallScales(const std::byte* bytes, bool is_signed) {
  const __m128i small = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
  return _mm256_cvtepi32_ps(is_signed ? _mm256_cvtepi8_epi32(small) : _mm256_cvtepu8_epi32(small));
}

template <WeightType kType, int kHalf>
REPRISE_INLINE __m256 TileScales(const std::byte* header, const std::byte* tile, int quarter) {
  constexpr TileLayout kLayout = kTileLayout<kType>;
  if constexpr (!kLayout.is_super()) return LoadFp16Eight(tile + 16 * quarter);
  return _mm256_mul_ps(LoadFp16Eight(header + 16 * quarter),
                       SmallScales(tile + 32 * kHalf + 8 * quarter, kLayout.bits == 6));
}
template <WeightType kType>
REPRISE_INLINE __m256 TileMinimums(const std::byte* header, const std::byte* tile, int quarter) {
  if constexpr (!kTileLayout<kType>.is_super()) return LoadFp16Eight(tile + 64 + 16 * quarter);
  const __m256 product =
      _mm256_mul_ps(LoadFp16Eight(header + 64 + 16 * quarter), SmallScales(tile + 32 + 8 * quarter, false));
  return _mm256_xor_ps(product, _mm256_set1_ps(-0.0f));
}

// sum[r] += scaled dot products of the panel's rows. The offset of the codes is subtracted by the start
// values; signed 8-bit codes have none left.
template <WeightType kType, int kHalf, int kRows>
REPRISE_INLINE void AddScaled(const std::byte* header, const std::byte* tile, int quarter, const std::byte* q,
                              const __m256i (&dot)[kRows], __m256 (&sum)[kRows]) {
  constexpr TileLayout kLayout = kTileLayout<kType>;
  const std::byte* starts = q + (36 + 4 * kHalf) * kRows;
  const __m256 scale = TileScales<kType, kHalf>(header, tile, quarter);
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    __m256i exact = dot[r];
    if constexpr (!kLayout.has_min && kLayout.bits < 8)
      exact = _mm256_add_epi32(exact, BroadcastInt(starts + 4 * r));
    const __m256 both = _mm256_mul_ps(scale, BroadcastFloat(q + 32 * kRows + 4 * r));
    sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(exact), both, sum[r]);
  }
}

// A quarter of a tile; `q` is the panel's part for it.
template <WeightType kType, int kRows>
REPRISE_INLINE void MultiplyQuarter(const std::byte* header, const std::byte* tile, int quarter,
                                    const std::byte* q, __m256 (&sum)[kRows]) {
  constexpr TileLayout kLayout = kTileLayout<kType>;
  const std::byte* codes = tile + kLayout.scale_bytes;
  __m256i dot[kRows], pairs[kRows];
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) dot[r] = pairs[r] = _mm256_setzero_si256();
  DotHalf<kLayout.bits, 0>(codes, quarter, q, pairs, dot);
  if constexpr (kLayout.activation == ActivationKind::kTwoHalves) {
    AddScaled<kType, 0>(header, tile, quarter, q, dot, sum);
    REPRISE_UNROLL
    for (int r = 0; r < kRows; ++r) dot[r] = _mm256_setzero_si256();
    DotHalf<kLayout.bits, 1>(codes, quarter, q, pairs, dot);
    AddScaled<kType, 1>(header, tile, quarter, q, dot, sum);
  } else {
    DotHalf<kLayout.bits, 1>(codes, quarter, q, pairs, dot);
    AddScaled<kType, 0>(header, tile, quarter, q, dot, sum);
  }
  if constexpr (kLayout.has_min) {
    const __m256 minimum = TileMinimums<kType>(header, tile, quarter);
    REPRISE_UNROLL
    for (int r = 0; r < kRows; ++r)
      sum[r] = _mm256_fmadd_ps(minimum, BroadcastFloat(q + 36 * kRows + 4 * r), sum[r]);
  }
}

// kQuarters of the tile at once, from quarter `first`.
template <WeightType kType, int kRows, int kQuarters>
REPRISE_INLINE void MultiplyQuarters(const std::byte* tiles, int tile_count, const std::byte* panel,
                                     float* sums, std::ptrdiff_t stride, bool resume, int first,
                                     Prefetch prefetch) {
  constexpr TileLayout kLayout = kTileLayout<kType>;
  constexpr int kPanelTileBytes = (kLayout.activation == ActivationKind::kTwoHalves ? 44 : 40) * kRows;
  __m256 sum[kQuarters][kRows];
  REPRISE_UNROLL
  for (int i = 0; i < kQuarters; ++i) REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r)
    sum[i][r] = resume ? _mm256_loadu_ps(sums + stride * r + 8 * (first + i)) : _mm256_setzero_ps();
  const std::byte* header = nullptr;
  for (int t = 0; t < tile_count; ++t, tiles += kLayout.tile_bytes, panel += kPanelTileBytes) {
    FetchLines(&prefetch);
    if constexpr (kLayout.is_super()) {
      if (t % kSuperBlockTiles == 0) {
        header = tiles;
        tiles += kLayout.header_bytes;
      }
    }
    REPRISE_UNROLL
    for (int i = 0; i < kQuarters; ++i) MultiplyQuarter<kType>(header, tiles, first + i, panel, sum[i]);
  }
  REPRISE_UNROLL
  for (int i = 0; i < kQuarters; ++i) REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) _mm256_storeu_ps(sums + stride * r + 8 * (first + i), sum[i][r]);
}

template <WeightType kType, int kRows>
void MatMulAvx2(const std::byte* tiles, int tile_count, const std::byte* panel, float* sums,
                std::ptrdiff_t stride, bool resume, Prefetch prefetch) {
  FetchForWriting<kRows>(sums, stride);
  constexpr int kQuarters = kRows <= 3 ? 4 : 1;  // measured
  MultiplyQuarters<kType, kRows, kQuarters>(tiles, tile_count, panel, sums, stride, resume, 0, prefetch);
  for (int first = kQuarters; first < 4; first += kQuarters)
    MultiplyQuarters<kType, kRows, kQuarters>(tiles, tile_count, panel, sums, stride, resume, first, {});
}

// The peak of what these rest on, products of bytes added in pairs (peak-inl.h).
std::int64_t PeakBytePairs(int rounds) {
  __m256i sums[kPeakChains];
  for (int i = 0; i < kPeakChains; ++i) sums[i] = _mm256_set1_epi16(static_cast<short>(i));
  __m256i x = _mm256_set1_epi8(1);
  for (int round = 0; round < rounds; ++round) {
    REPRISE_UNROLL
    for (int i = 0; i < kPeakChains; ++i) {
      asm volatile("" : "+x"(x));  // another product each time
      sums[i] = _mm256_add_epi16(sums[i], _mm256_maddubs_epi16(x, x));
    }
  }
  for (int i = 1; i < kPeakChains; ++i) sums[0] = _mm256_add_epi16(sums[0], sums[i]);
  std::int16_t result[16];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(result), sums[0]);
  asm volatile("" : : "r"(result) : "memory");
  return std::int64_t{2} * 32 * kPeakChains * rounds;
}
