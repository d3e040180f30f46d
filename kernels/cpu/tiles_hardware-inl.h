// The AMX tile unit. Registers: 0 and 1 hold int32 [16][16] results; 2 and 3 the operands of a dot product of
// 32 columns, 4 and 5 those of 16; 6 and 7 are further results, for Peak.

struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 32, 64, 16, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 8, 16, 4, 16, 16};
};

// dots[h][m][n] = sum over columns of q[m][column] * code[row 16h + n][column]: q signed bytes with 32 bytes
// a row, always sixteen rows (those past the panel's are not used), codes unsigned bytes in lines of four
// columns, 128 bytes apart.
struct Tiles {
  static void Begin() {
    static constexpr TileConfig kConfig;
    _tile_loadconfig(&kConfig);
  }
  static void End() { _tile_release(); }

  static void Dot(const std::byte* q, const std::byte* lines, std::int32_t (&dots)[2][16][16]) {
    asm volatile("" ::: "memory");  // GCC's tile loads do not say that they read memory
    _tile_zero(0);
    _tile_zero(1);
    _tile_loadd(2, q, 32);
    _tile_loadd(3, lines, 128);
    _tile_dpbsud(0, 2, 3);
    _tile_loadd(3, lines + 64, 128);
    _tile_dpbsud(1, 2, 3);
    _tile_stored(0, dots[0], 64);
    _tile_stored(1, dots[1], 64);
  }
  // The first 16 of the columns.
  static void DotHalf(const std::byte* q, const std::byte* lines, std::int32_t (&dots)[2][16][16]) {
    asm volatile("" ::: "memory");
    _tile_zero(0);
    _tile_zero(1);
    _tile_loadd(4, q, 32);
    _tile_loadd(5, lines, 128);
    _tile_dpbsud(0, 4, 5);
    _tile_loadd(5, lines + 64, 128);
    _tile_dpbsud(1, 4, 5);
    _tile_stored(0, dots[0], 64);
    _tile_stored(1, dots[1], 64);
  }

  // Dot products on four results in turn, of zeros: the operations done.
  static std::int64_t Peak(int rounds) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(6);
    _tile_zero(7);
    for (int round = 0; round < rounds; ++round) {
      _tile_dpbsud(0, 2, 3);
      _tile_dpbsud(1, 2, 3);
      _tile_dpbsud(6, 2, 3);
      _tile_dpbsud(7, 2, 3);
    }
    return std::int64_t{4} * 2 * 16 * 16 * 32 * rounds;
  }
};
