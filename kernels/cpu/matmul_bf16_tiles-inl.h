// bfloat16 weights times activations rounded to bfloat16 on AMX tiles: 32 weight rows by up to sixteen
// activation rows, for any number of rows, as the order of additions is the unit's own. `Bf16Tiles` is the
// hardware (bf16_tiles_hardware-inl.h) or, in a test, a scalar emulation of it.

template <int kRows>
void MatMulBf16(const std::byte* tiles, int tile_count, const std::byte* panel, float* sums,
                std::ptrdiff_t stride, bool resume, Prefetch prefetch) {
  FetchForWriting<kRows>(sums, stride);
  Bf16Tiles<kRows> unit;
  if (resume) {
    unit.Begin(sums, stride);
  } else {
    unit.Begin();
  }
  for (int t = 0; t < tile_count; ++t) {
    FetchLines(&prefetch);
    unit.Multiply(panel, tiles);
    tiles += kTileLayout<WeightType::kBF16>.tile_bytes;
    panel += 64 * kRows;
  }
  unit.End(sums, stride);
}
