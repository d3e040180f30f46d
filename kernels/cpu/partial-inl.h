// Ends of rows that are not a multiple of 16 long.

// The first n of 16 floats, zeros after them; all when n >= 16.
REPRISE_INLINE Vec LoadPartial(const float* p, int n) {
  if (n >= 16) return Load(p);
  float buffer[16] = {};
  __builtin_memcpy(buffer, p, sizeof(float) * static_cast<unsigned>(n));
  return Load(buffer);
}
REPRISE_INLINE void StorePartial(float* p, Vec x, int n) {
  if (n >= 16) return Store(p, x);
  float buffer[16];
  Store(buffer, x);
  __builtin_memcpy(p, buffer, sizeof(float) * static_cast<unsigned>(n));
}
