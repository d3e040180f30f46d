// 16 floats in one AVX-512 register. vec_avx2-inl.h has the same operations on two AVX2 registers: code
// written on these gives the same bits on both. Included inside a per-ISA namespace.

using Vec = __m512;
using IntVec = __m512i;

REPRISE_INLINE Vec Zero() {
  return _mm512_setzero_ps();
}
REPRISE_INLINE Vec Set(float x) {
  return _mm512_set1_ps(x);
}
REPRISE_INLINE Vec Load(const float* p) {
  return _mm512_loadu_ps(p);
}
REPRISE_INLINE void Store(float* p, Vec x) {
  _mm512_storeu_ps(p, x);
}
REPRISE_INLINE Vec LoadBf16(const std::uint16_t* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
REPRISE_INLINE Vec LoadFp16(const std::byte* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
// 16 pairs of bfloat16: the even and the odd ones.
REPRISE_INLINE void LoadBf16Pairs(const std::byte* p, Vec* even, Vec* odd) {
  const __m512i bits = _mm512_loadu_si512(p);
  *even = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
  *odd = _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}

REPRISE_INLINE Vec Add(Vec a, Vec b) {
  return _mm512_add_ps(a, b);
}
REPRISE_INLINE Vec Sub(Vec a, Vec b) {
  return _mm512_sub_ps(a, b);
}
REPRISE_INLINE Vec Mul(Vec a, Vec b) {
  return _mm512_mul_ps(a, b);
}
REPRISE_INLINE Vec Div(Vec a, Vec b) {
  return _mm512_div_ps(a, b);
}
REPRISE_INLINE Vec Fma(Vec a, Vec b, Vec c) {
  return _mm512_fmadd_ps(a, b, c);
}
// The second operand when either is NaN: put what may be NaN second.
REPRISE_INLINE Vec Max(Vec a, Vec b) {
  return _mm512_max_ps(a, b);
}
REPRISE_INLINE Vec Min(Vec a, Vec b) {
  return _mm512_min_ps(a, b);
}
REPRISE_INLINE Vec Abs(Vec a) {
  return _mm512_abs_ps(a);
}

// Nearest even; 2^i for i in [-126, 127].
REPRISE_INLINE IntVec RoundToInt(Vec a) {
  return _mm512_cvtps_epi32(a);
}
REPRISE_INLINE Vec ToFloat(IntVec a) {
  return _mm512_cvtepi32_ps(a);
}
REPRISE_INLINE Vec PowerOfTwo(IntVec i) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(i, _mm512_set1_epi32(127)), 23));
}

REPRISE_INLINE IntVec SetInt(std::int32_t x) {
  return _mm512_set1_epi32(x);
}
// 16 pairs of int8, as pairs of int16; sums of the products of such pairs, added to `sum`.
REPRISE_INLINE IntVec LoadBytePairs(const std::byte* p) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
// In place: around the intrinsic, GCC 12 copies every sum twice.
REPRISE_INLINE IntVec AddDotPairs(IntVec a, IntVec b, IntVec sum) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}
// Values within [-32768, 32767].
REPRISE_INLINE void StoreInt16(std::int16_t* p, IntVec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a));
}

// Lane i of a where first <= i <= last, of b elsewhere.
REPRISE_INLINE Vec SelectRange(int first, int last, Vec a, Vec b) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __mmask16 inside = _mm512_cmpge_epi32_mask(lane, _mm512_set1_epi32(first)) &
                           _mm512_cmple_epi32_mask(lane, _mm512_set1_epi32(last));
  return _mm512_mask_blend_ps(inside, b, a);
}

// Lanes 8 apart first, then 4, 2, 1.
REPRISE_INLINE __m256 UpperHalf(Vec a) {
  return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1));
}
REPRISE_INLINE float Sum(Vec a) {
  return SumEight(_mm256_add_ps(_mm512_castps512_ps256(a), UpperHalf(a)));
}
REPRISE_INLINE float Maximum(Vec a) {
  return MaximumEight(_mm256_max_ps(_mm512_castps512_ps256(a), UpperHalf(a)));
}

REPRISE_INLINE IntVec AddInts(IntVec a, IntVec b) {
  return _mm512_add_epi32(a, b);
}
REPRISE_INLINE int SumInts(IntVec a) {
  return _mm512_reduce_add_epi32(a);
}
// Values within [-128, 127].
REPRISE_INLINE void StoreInt8(std::int8_t* p, IntVec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
}
