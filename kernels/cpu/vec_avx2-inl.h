// 16 floats in two AVX2 registers; the operations of vec_avx512-inl.h, which explains them.

struct Vec {
  __m256 lo, hi;
};
struct IntVec {
  __m256i lo, hi;
};

REPRISE_INLINE Vec Zero() {
  return {_mm256_setzero_ps(), _mm256_setzero_ps()};
}
REPRISE_INLINE Vec Set(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
REPRISE_INLINE Vec Load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
REPRISE_INLINE void Store(float* p, Vec x) {
  _mm256_storeu_ps(p, x.lo);
  _mm256_storeu_ps(p + 8, x.hi);
}
REPRISE_INLINE __m256 LoadBf16Eight(const std::uint16_t* p) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
REPRISE_INLINE Vec LoadBf16(const std::uint16_t* p) {
  return {LoadBf16Eight(p), LoadBf16Eight(p + 8)};
}
REPRISE_INLINE __m256 LoadFp16Eight(const std::byte* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
REPRISE_INLINE Vec LoadFp16(const std::byte* p) {
  return {LoadFp16Eight(p), LoadFp16Eight(p + 16)};
}
REPRISE_INLINE void LoadBf16Pairs(const std::byte* p, Vec* even, Vec* odd) {
  const __m256i lo = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m256i hi = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32));
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  *even = {_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))};
  *odd = {_mm256_castsi256_ps(_mm256_and_si256(lo, upper)), _mm256_castsi256_ps(_mm256_and_si256(hi, upper))};
}

REPRISE_INLINE Vec Add(Vec a, Vec b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
REPRISE_INLINE Vec Sub(Vec a, Vec b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
REPRISE_INLINE Vec Mul(Vec a, Vec b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
REPRISE_INLINE Vec Div(Vec a, Vec b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
REPRISE_INLINE Vec Fma(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
REPRISE_INLINE Vec Max(Vec a, Vec b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
REPRISE_INLINE Vec Min(Vec a, Vec b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
REPRISE_INLINE Vec Abs(Vec a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}

REPRISE_INLINE IntVec RoundToInt(Vec a) {
  return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)};
}
REPRISE_INLINE Vec ToFloat(IntVec a) {
  return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)};
}
REPRISE_INLINE __m256 PowerOfTwoEight(__m256i i) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(i, _mm256_set1_epi32(127)), 23));
}
REPRISE_INLINE Vec PowerOfTwo(IntVec i) {
  return {PowerOfTwoEight(i.lo), PowerOfTwoEight(i.hi)};
}

REPRISE_INLINE IntVec SetInt(std::int32_t x) {
  return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
REPRISE_INLINE __m256i LoadBytePairsEight(const std::byte* p) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
REPRISE_INLINE IntVec LoadBytePairs(const std::byte* p) {
  return {LoadBytePairsEight(p), LoadBytePairsEight(p + 16)};
}
REPRISE_INLINE IntVec AddDotPairs(IntVec a, IntVec b, IntVec sum) {
  return {_mm256_add_epi32(sum.lo, _mm256_madd_epi16(a.lo, b.lo)),
          _mm256_add_epi32(sum.hi, _mm256_madd_epi16(a.hi, b.hi))};
}
REPRISE_INLINE void StoreInt16(std::int16_t* p, IntVec a) {
  // packs works within 128-bit lanes: words 0-3,8-11 | 4-7,12-15, put right by the permutation.
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), words);
}

REPRISE_INLINE __m256 SelectRangeEight(__m256i lane, int first, int last, __m256 a, __m256 b) {
  const __m256i outside = _mm256_or_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(first), lane),
                                          _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(last)));
  return _mm256_blendv_ps(a, b, _mm256_castsi256_ps(outside));
}
REPRISE_INLINE Vec SelectRange(int first, int last, Vec a, Vec b) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return {SelectRangeEight(lane, first, last, a.lo, b.lo),
          SelectRangeEight(_mm256_add_epi32(lane, _mm256_set1_epi32(8)), first, last, a.hi, b.hi)};
}

REPRISE_INLINE float Sum(Vec a) {
  return SumEight(_mm256_add_ps(a.lo, a.hi));
}
REPRISE_INLINE float Maximum(Vec a) {
  return MaximumEight(_mm256_max_ps(a.lo, a.hi));
}

REPRISE_INLINE IntVec AddInts(IntVec a, IntVec b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
REPRISE_INLINE int SumInts(IntVec a) {
  const __m256i eight = _mm256_add_epi32(a.lo, a.hi);
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}
REPRISE_INLINE void StoreInt8(std::int8_t* p, IntVec a) {
  // packs works within 128-bit lanes: words 0-3,8-11 | 4-7,12-15, put right by the permutation.
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
