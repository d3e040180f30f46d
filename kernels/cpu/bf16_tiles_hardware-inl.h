// The AMX tile unit with bfloat16. Registers: 0 and 1 hold float [rows][16] sums, 2 the activations, 3 and 4
// the weights of 32 columns; 5 to 7 are further sums, for Peak.

template <int kRows>
struct alignas(64) Bf16TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {kRows, kRows, kRows, 16, 16, kRows, kRows, kRows};
};

// Sums of 32 weight rows and kRows activation rows, from Begin to End in the tile registers.
template <int kRows>
struct Bf16Tiles {
  void Begin() {
    Configure();
    _tile_zero(0);
    _tile_zero(1);
  }
  // Resumes the sums found there.
  void Begin(const float* sums, std::ptrdiff_t stride) {
    Configure();
    asm volatile("" ::: "memory");  // GCC's tile loads do not say that they read memory
    _tile_loadd(0, sums, 4 * stride);
    _tile_loadd(1, sums + 16, 4 * stride);
  }
  // For 32 columns: x bfloat16 [kRows][32], lines [16][32 weight rows][2 columns]. The products of even and
  // of odd columns are added up apart, then both to the sum (Intel SDM, volume 2, TDPBF16PS).
  void Multiply(const std::byte* x, const std::byte* lines) {
    asm volatile("" ::: "memory");
    _tile_loadd(2, x, 64);
    _tile_loadd(3, lines, 128);
    _tile_dpbf16ps(0, 2, 3);
    _tile_loadd(4, lines + 64, 128);
    _tile_dpbf16ps(1, 2, 4);
  }
  void End(float* sums, std::ptrdiff_t stride) {
    _tile_stored(0, sums, 4 * stride);
    _tile_stored(1, sums + 16, 4 * stride);
    _tile_release();
  }

  // Products on four results in turn, of zeros: the operations done.
  std::int64_t Peak(int rounds) {
    Begin();
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(5);
    _tile_zero(6);
    for (int round = 0; round < rounds; ++round) {
      _tile_dpbf16ps(0, 2, 3);
      _tile_dpbf16ps(1, 2, 3);
      _tile_dpbf16ps(5, 2, 3);
      _tile_dpbf16ps(6, 2, 3);
    }
    _tile_release();
    return std::int64_t{4} * 2 * kRows * 16 * 32 * rounds;
  }

 private:
  static void Configure() {
    static constexpr Bf16TileConfig<kRows> kConfig;
    _tile_loadconfig(&kConfig);
  }
};

std::int64_t PeakBf16(int rounds) {
  return Bf16Tiles<16>().Peak(rounds);
}
