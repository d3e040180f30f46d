// Attention of a few rows over one partition of the cache: scores, softmax weights, weighted values. Each
// score is one chain of fused multiply-adds over ascending dimensions, each output one over ascending
// positions, so that blocking by rows, tiles or dimensions changes no bit. Keys beyond a row's range are
// multiplied but dropped by a select; values beyond every row's range are not touched.

template <KvType kType>
constexpr int kElementBytes = kType == KvType::kF32    ? 4
                              : kType == KvType::kBF16 ? 2
                                                       : 1;
// Before the elements of a tile.
template <KvType kType>
constexpr int kScalesBytes = kType == KvType::kInt8 ? kKeyTile * 4 : 0;

// Element `element` of a tile and the 15 after it.
template <KvType kType>
REPRISE_INLINE Vec LoadKv(const std::byte* tile, std::size_t element) {
  const std::byte* at = tile + kScalesBytes<kType> + element * kElementBytes<kType>;
  if constexpr (kType == KvType::kF32) return Load(reinterpret_cast<const float*>(at));
  if constexpr (kType == KvType::kBF16) return LoadBf16(reinterpret_cast<const std::uint16_t*>(at));
  if constexpr (kType == KvType::kInt8) return LoadInt8(at);
}
// The first n of 16.
template <KvType kType>
REPRISE_INLINE Vec LoadKvPartial(const std::byte* tile, std::size_t element, int n) {
  constexpr unsigned kBytes = kElementBytes<kType>;
  alignas(64) std::byte buffer[kScalesBytes<kType> + 64] = {};
  __builtin_memcpy(buffer + kScalesBytes<kType>, tile + kScalesBytes<kType> + element * kBytes,
                   kBytes * static_cast<unsigned>(n));
  return LoadKv<kType>(buffer, 0);
}
// The scales of a tile's positions.
REPRISE_INLINE Vec LoadScales(const std::byte* tile) {
  return Load(reinterpret_cast<const float*>(tile));
}

REPRISE_INLINE void Fetch(const std::byte* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
}
// Fetches what will be read next: the same line of the keys kTilesAhead further on, and of the values of the
// tile at hand. Tiles of one head lie apart in memory, so that the hardware does not do it.
template <KvType kType>
REPRISE_INLINE void FetchAhead(const AttendPartition& work, int tile, int d) {
  constexpr int kDimensionBytes = kKeyTile * kElementBytes<kType>;
  if (d * kDimensionBytes % 64 != 0) return;
  const std::byte* keys = work.key_tiles[tile + kTilesAhead];
  const std::byte* values = work.value_tiles[tile];
  if (kScalesBytes < kType >> 0 && d == 0) {
    Fetch(keys);
    Fetch(values);
  }
  Fetch(keys + kScalesBytes<kType> + d * kDimensionBytes);
  Fetch(values + kScalesBytes<kType> + d * kDimensionBytes);
}

// scores[r][16 (tile + i) ..] for kTiles tiles.
template <KvType kType, int kRows, int kTiles>
REPRISE_INLINE void ScoreTiles(const AttendPartition& work, int tile, float (&scores)[kRows][kPartition]) {
  Vec sum[kRows][kTiles];
  const std::byte* keys[kTiles];
  REPRISE_UNROLL
  for (int i = 0; i < kTiles; ++i) {
    keys[i] = work.key_tiles[tile + i];
    REPRISE_UNROLL
    for (int r = 0; r < kRows; ++r) sum[r][i] = Zero();
  }
  const float* q = work.queries;
  for (int d = 0; d < work.head_dim; ++d, q += kRows) {
    for (int i = 0; i < kTiles; ++i) FetchAhead<kType>(work, tile + i, d);
    Vec key[kTiles];
    REPRISE_UNROLL
    for (int i = 0; i < kTiles; ++i) key[i] = LoadKv<kType>(keys[i], static_cast<std::size_t>(d) * kKeyTile);
    REPRISE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Vec x = Set(q[r]);
      REPRISE_UNROLL
      for (int i = 0; i < kTiles; ++i) sum[r][i] = Fma(x, key[i], sum[r][i]);
    }
  }
  REPRISE_UNROLL
  for (int i = 0; i < kTiles; ++i) {
    Vec scale = Set(work.scale);
    if constexpr (kType == KvType::kInt8) scale = Mul(scale, LoadScales(keys[i]));
    REPRISE_UNROLL
    for (int r = 0; r < kRows; ++r) Store(scores[r] + kKeyTile * (tile + i), Mul(sum[r][i], scale));
  }
}

// Turns the scores of one row into weights, zero outside its range; writes its maximum and sum.
void Softmax(const AttendPartition& work, int r, int first_tile, int last_tile, float* scores) {
  const int first = work.first[r];
  const int last = work.last[r];
  Vec maximum = Set(kNoScore);
  for (int t = first_tile; t <= last_tile; ++t) {
    const int at = kKeyTile * t;
    maximum = Max(maximum, SelectRange(first - at, last - at, Load(scores + at), Set(kNoScore)));
  }
  const float top = Maximum(maximum);
  Vec sum = Zero();
  for (int t = first_tile; t <= last_tile; ++t) {
    const int at = kKeyTile * t;
    const Vec weight = SelectRange(first - at, last - at, Exp(Sub(Load(scores + at), Set(top))), Zero());
    Store(scores + at, weight);
    sum = Add(sum, weight);
  }
  work.state.maximum[r] = top;
  work.state.sum[r] = Sum(sum);
}

// Multiplies the weights by the scales of the values they will meet. Positions beyond every row's range may
// become NaN here and are not looked at again.
template <int kRows>
REPRISE_INLINE void ScaleWeights(const AttendPartition& work, int first_tile, int last_tile,
                                 float (&weights)[kRows][kPartition]) {
  for (int t = first_tile; t <= last_tile; ++t) {
    const Vec scale = LoadScales(work.value_tiles[t]);
    for (int r = 0; r < kRows; ++r) {
      float* at = weights[r] + kKeyTile * t;
      Store(at, Mul(Load(at), scale));
    }
  }
}

// state.values[r][d .. d + 16 kVecs) = sum over positions [first, last] of weight * value. kWhole: all of
// those dimensions exist; otherwise kVecs is 1 and fewer do.
template <KvType kType, int kRows, int kVecs, bool kWhole>
REPRISE_INLINE void WeighValues(const AttendPartition& work, int first, int last, int d,
                                const float (&weights)[kRows][kPartition]) {
  Vec sum[kRows][kVecs];
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    REPRISE_UNROLL
    for (int i = 0; i < kVecs; ++i) sum[r][i] = Zero();
  }
  for (int p = first; p <= last; ++p) {
    const std::byte* tile = work.value_tiles[p / kKeyTile];
    const std::size_t element = static_cast<std::size_t>(p % kKeyTile) * work.head_dim + d;
    Vec value[kVecs];
    REPRISE_UNROLL
    for (int i = 0; i < kVecs; ++i) {
      value[i] = kWhole ? LoadKv<kType>(tile, element + 16 * i)
                        : LoadKvPartial<kType>(tile, element, work.head_dim - d);
    }
    REPRISE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Vec weight = Set(weights[r][p]);
      REPRISE_UNROLL
      for (int i = 0; i < kVecs; ++i) sum[r][i] = Fma(weight, value[i], sum[r][i]);
    }
  }
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    REPRISE_UNROLL
    for (int i = 0; i < kVecs; ++i) Store(work.state.values + r * work.state.stride + d + 16 * i, sum[r][i]);
  }
}

template <KvType kType, int kRows>
void AttendRows(const AttendPartition& work) {
  int first = kPartition;
  int last = -1;
  for (int r = 0; r < kRows; ++r) {
    if (work.last[r] < work.first[r]) continue;
    if (work.first[r] < first) first = work.first[r];
    if (work.last[r] > last) last = work.last[r];
  }
  const int first_tile = first / kKeyTile;
  const int last_tile = last < 0 ? first_tile - 1 : last / kKeyTile;

  alignas(64) float scores[kRows][kPartition];
  constexpr int kTiles = kScoreTiles<kRows>;
  int t = first_tile;
  for (; t + kTiles <= last_tile + 1; t += kTiles) ScoreTiles<kType, kRows, kTiles>(work, t, scores);
  for (; t <= last_tile; ++t) ScoreTiles<kType, kRows, 1>(work, t, scores);
  for (int r = 0; r < kRows; ++r) Softmax(work, r, first_tile, last_tile, scores[r]);
  if constexpr (kType == KvType::kInt8) ScaleWeights<kRows>(work, first_tile, last_tile, scores);

  constexpr int kVecs = kValueVecs<kRows>;
  int d = 0;
  for (; d + 16 * kVecs <= work.head_dim; d += 16 * kVecs)
    WeighValues<kType, kRows, kVecs, true>(work, first, last, d, scores);
  for (; d + 16 <= work.head_dim; d += 16) WeighValues<kType, kRows, 1, true>(work, first, last, d, scores);
  if (d < work.head_dim) WeighValues<kType, kRows, 1, false>(work, first, last, d, scores);
}

template <KvType kType>
void AttendType(const AttendPartition& work) {
  switch (work.rows) {
    case 1:
      return AttendRows<kType, 1>(work);
    case 2:
      return AttendRows<kType, 2>(work);
    case 3:
      return AttendRows<kType, 3>(work);
    case 4:
      return AttendRows<kType, 4>(work);
    case 5:
      return AttendRows<kType, 5>(work);
    default:
      return AttendRows<kType, kMaxAttentionRows>(work);
  }
}

void Attend(const AttendPartition& work) {
  switch (work.type) {
    case KvType::kF32:
      return AttendType<KvType::kF32>(work);
    case KvType::kBF16:
      return AttendType<KvType::kBF16>(work);
    case KvType::kInt8:
      return AttendType<KvType::kInt8>(work);
  }
}

REPRISE_INLINE float ExpOne(float x) {
  float lanes[16];
  Store(lanes, Exp(Set(x)));
  return lanes[0];
}

// Merging with a state of no positions changes no bit: its weight meets sums of zero.
void Merge(const AttentionState& to, const AttentionState& from, int rows, int head_dim) {
  for (int r = 0; r < rows; ++r) {
    const float maximum = to.maximum[r] > from.maximum[r] ? to.maximum[r] : from.maximum[r];
    const float keep = ExpOne(to.maximum[r] - maximum);
    const float add = ExpOne(from.maximum[r] - maximum);
    to.maximum[r] = maximum;
    to.sum[r] = to.sum[r] * keep + from.sum[r] * add;
    float* values = to.values + r * to.stride;
    for (int d = 0; d < head_dim; d += 16) {
      const Vec scaled = Mul(Load(from.values + r * from.stride + d), Set(add));
      Store(values + d, Fma(Load(values + d), Set(keep), scaled));
    }
  }
}

void Finish(const AttentionState& state, int row, int head_dim, float* out) {
  const Vec sum = Set(state.sum[row]);
  for (int d = 0; d < head_dim; d += 16) {
    // + 0 makes a zero positive: its sign may depend on positions that do not count.
    const Vec value = Add(Div(Load(state.values + row * state.stride + d), sum), Zero());
    StorePartial(out + d, value, head_dim - d);
  }
}
