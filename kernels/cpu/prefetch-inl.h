// What a matmul asks of memory ahead of time.

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
