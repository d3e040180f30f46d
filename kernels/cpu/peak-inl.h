// Multiply-adds on registers alone: as many as this leg can do, the roofline its kernels are set beside. Each
// returns the operations done, a multiply-add counting as two.

// Enough independent chains to hide the latency of one instruction on both pipes.
constexpr int kPeakChains = 10;

std::int64_t PeakFloat(int rounds) {
  Vec sums[kPeakChains];
  for (int i = 0; i < kPeakChains; ++i) sums[i] = Set(static_cast<float>(i));
  const Vec x = Set(0.5f);
  for (int round = 0; round < rounds; ++round) {
    REPRISE_UNROLL
    for (int i = 0; i < kPeakChains; ++i) sums[i] = Fma(sums[i], x, x);
  }
  float result[16];
  for (int i = 1; i < kPeakChains; ++i) sums[0] = Add(sums[0], sums[i]);
  Store(result, sums[0]);
  asm volatile("" : : "r"(result) : "memory");  // or the loop would be dropped
  return std::int64_t{2} * 16 * kPeakChains * rounds;
}
