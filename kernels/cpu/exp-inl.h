// e^x, relative error below 2e-7; x is clamped to [-87.3, 88.3], where the result is a normal number.
// NaN stays NaN.
REPRISE_INLINE Vec Exp(Vec x) {
  x = Min(Set(88.3f), Max(Set(-87.3f), x));
  // x = n ln 2 + r, |r| <= ln 2 / 2; ln 2 in two parts, the first exact in few bits.
  const IntVec n = RoundToInt(Mul(x, Set(1.44269504089f)));
  const Vec whole = ToFloat(n);
  Vec r = Fma(whole, Set(-0.693359375f), x);
  r = Fma(whole, Set(2.12194440e-4f), r);
  // Taylor coefficients 1/k!: the remainder r^8/8! is below 6e-9.
  Vec p = Set(1.0f / 5040);
  p = Fma(p, r, Set(1.0f / 720));
  p = Fma(p, r, Set(1.0f / 120));
  p = Fma(p, r, Set(1.0f / 24));
  p = Fma(p, r, Set(1.0f / 6));
  p = Fma(p, r, Set(0.5f));
  p = Fma(p, r, Set(1.0f));
  p = Fma(p, r, Set(1.0f));
  return Mul(p, PowerOfTwo(n));
}
