// Activations on their way into a matmul: float, bfloat16, or int8 with a scale per 32 columns.

// Blocks below this magnitude count as zero: 127 / maximum must not overflow.
constexpr float kSmallestMaximum = 1e-30f;

REPRISE_INLINE void PutInt(std::byte* p, int value) {
  __builtin_memcpy(p, &value, sizeof(value));
}
REPRISE_INLINE void PutFloat(std::byte* p, float value) {
  __builtin_memcpy(p, &value, sizeof(value));
}

// x ~ scale * q, scale = max|x| / 127, q rounded to nearest even.
REPRISE_INLINE void QuantizeTile(const PanelRow& target, const float* x, std::byte* tile) {
  const Vec x0 = Load(x);
  const Vec x1 = Load(x + 16);
  const float maximum = Maximum(Max(Abs(x0), Abs(x1)));
  const bool zero = maximum < kSmallestMaximum;  // false for NaN, which thus reaches the output
  const float scale = zero ? 0.0f : maximum / 127.0f;
  const Vec inverse = Set(zero ? 0.0f : 127.0f / maximum);
  const IntVec q0 = RoundToInt(Mul(x0, inverse));
  const IntVec q1 = RoundToInt(Mul(x1, inverse));
  std::byte* scales = tile + 32 * target.rows;
  std::byte* starts = tile + 36 * target.rows;
  auto* q = reinterpret_cast<std::int8_t*>(tile + 32 * target.row);
  StoreInt8(q, q0);
  StoreInt8(q + 16, q1);
  PutFloat(scales + 4 * target.row, scale);
  if (target.kind == ActivationKind::kTwoHalves) {
    PutInt(starts + 4 * target.row, -target.offset * SumInts(q0));
    PutInt(starts + 4 * (target.rows + target.row), -target.offset * SumInts(q1));
    return;
  }
  const int sum = SumInts(AddInts(q0, q1));
  if (target.kind == ActivationKind::kMinimum) {
    PutFloat(starts + 4 * target.row, scale * static_cast<float>(sum));
  } else {
    PutInt(starts + 4 * target.row, -target.offset * sum);
  }
}

// To nearest even; NaN stays NaN.
REPRISE_INLINE std::uint16_t RoundToBf16(float x) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<std::uint16_t>((nan ? bits | 0x400000u : bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

REPRISE_INLINE void RoundTile(const float* x, std::byte* row) {
  std::uint16_t rounded[32];
  for (int k = 0; k < 32; ++k) rounded[k] = RoundToBf16(x[k]);
  __builtin_memcpy(row, rounded, sizeof(rounded));
}

void WritePanelRow(const PanelRow& target, const float* x, int tiles) {
  if (target.kind == ActivationKind::kFloat) {
    for (int k = 0; k < 32 * tiles; ++k) PutFloat(target.panel + 4 * (k * target.rows + target.row), x[k]);
    return;
  }
  if (target.kind == ActivationKind::kBf16) {
    for (int t = 0; t < tiles; ++t)
      RoundTile(x + 32 * t, target.panel + 64 * (static_cast<std::ptrdiff_t>(t) * target.rows + target.row));
    return;
  }
  const int tile_bytes = (target.kind == ActivationKind::kTwoHalves ? 44 : 40) * target.rows;
  for (int t = 0; t < tiles; ++t)
    QuantizeTile(target, x + 32 * t, target.panel + static_cast<std::size_t>(t) * tile_bytes);
}
