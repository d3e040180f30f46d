// Quantised weights times int8 activations on AMX tiles: 32 weight rows by up to sixteen activation rows. The
// tile unit makes the same exact integers as VNNI, and they are scaled and added in the same order: same
// bits. `Tiles` is the hardware (tiles_hardware-inl.h) or, in a test, a scalar emulation of it.

// Codes of a tile as the unit wants them: line j = 0..7, [32 rows][4 columns] bytes.
template <int kBits, int kLine>
REPRISE_INLINE void UnpackLine(const std::byte* codes, std::byte* lines) {
  for (int h = 0; h < 2; ++h) {
    _mm512_store_si512(lines + 128 * kLine + 64 * h, LoadCodes<kBits, kLine, 0>(codes, h));
    _mm512_store_si512(lines + 128 * (kLine + 4) + 64 * h, LoadCodes<kBits, kLine, 1>(codes, h));
  }
}

// sums[r][16h..] += scaled dots of half kHalf of the columns.
template <WeightType kType, int kHalf>
REPRISE_INLINE void AddTileDots(int rows, const std::byte* header, const std::byte* tile, const std::byte* q,
                                const std::int32_t (&dots)[2][16][16], float* sums, std::ptrdiff_t stride) {
  constexpr TileLayout kLayout = kTileLayout<kType>;
  for (int h = 0; h < 2; ++h) {
    const __m512 scale = TileScales<kType, kHalf>(header, tile, h);
    for (int r = 0; r < rows; ++r) {
      __m512i dot = _mm512_load_si512(dots[h][r]);
      if constexpr (!kLayout.has_min)
        dot = _mm512_add_epi32(dot, BroadcastInt(q + (36 + 4 * kHalf) * rows + 4 * r));
      const __m512 both = _mm512_mul_ps(scale, BroadcastFloat(q + 32 * rows + 4 * r));
      __m512 sum = _mm512_loadu_ps(sums + stride * r + 16 * h);
      sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), both, sum);
      if constexpr (kLayout.has_min)
        sum =
            _mm512_fmadd_ps(TileMinimums<kType>(header, tile, h), BroadcastFloat(q + 36 * rows + 4 * r), sum);
      _mm512_storeu_ps(sums + stride * r + 16 * h, sum);
    }
  }
}

template <WeightType kType>
void MultiplyTiles(int rows, const std::byte* tiles, int tile_count, const std::byte* panel, float* sums,
                   std::ptrdiff_t stride, bool resume, Prefetch prefetch) {
  constexpr TileLayout kLayout = kTileLayout<kType>;
  constexpr bool kTwoHalves = kLayout.activation == ActivationKind::kTwoHalves;
  const int panel_tile_bytes = (kTwoHalves ? 44 : 40) * rows;
  alignas(64) std::byte unpacked[1024];
  alignas(64) std::int32_t dots[2][16][16];
  if (!resume) {
    for (int r = 0; r < rows; ++r) __builtin_memset(sums + stride * r, 0, sizeof(float) * 32);
  }
  Tiles::Begin();
  const std::byte* header = nullptr;
  for (int t = 0; t < tile_count; ++t, tiles += kLayout.tile_bytes, panel += panel_tile_bytes) {
    FetchLines(&prefetch);
    if constexpr (kLayout.is_super()) {
      if (t % kSuperBlockTiles == 0) {
        header = tiles;
        tiles += kLayout.header_bytes;
      }
    }
    const std::byte* lines = tiles + kLayout.scale_bytes;
    if constexpr (kLayout.bits != 8) {
      UnpackLine<kLayout.bits, 0>(lines, unpacked);
      UnpackLine<kLayout.bits, 1>(lines, unpacked);
      UnpackLine<kLayout.bits, 2>(lines, unpacked);
      UnpackLine<kLayout.bits, 3>(lines, unpacked);
      lines = unpacked;
    }
    if constexpr (kTwoHalves) {
      Tiles::DotHalf(panel, lines, dots);
      AddTileDots<kType, 0>(rows, header, tiles, panel, dots, sums, stride);
      Tiles::DotHalf(panel + 16, lines + 512, dots);
      AddTileDots<kType, 1>(rows, header, tiles, panel, dots, sums, stride);
    } else {
      Tiles::Dot(panel, lines, dots);
      AddTileDots<kType, 0>(rows, header, tiles, panel, dots, sums, stride);
    }
  }
  Tiles::End();
}

template <WeightType kType, int kRows>
void MatMulTiles(const std::byte* tiles, int tile_count, const std::byte* panel, float* sums,
                 std::ptrdiff_t stride, bool resume, Prefetch prefetch) {
  FetchForWriting<kRows>(sums, stride);
  MultiplyTiles<kType>(kRows, tiles, tile_count, panel, sums, stride, resume, prefetch);
}

// The peak of the tile unit on products of 32 columns (peak-inl.h).
std::int64_t PeakTiles(int rounds) {
  Tiles::Begin();
  const std::int64_t operations = Tiles::Peak(rounds);
  Tiles::End();
  return operations;
}
