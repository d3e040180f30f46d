// Attention of a few rows over one partition of the cache: scores, softmax weights, weighted values. Each
// score is one chain of multiply-adds over ascending dimensions, each output one over ascending positions, so
// that blocking by rows, tiles or dimensions changes no bit. Keys beyond a row's range are multiplied but
// dropped by a select; values beyond every row's range are not touched, or meet weights of zero.
//
// Floats multiply as floats. Keys and values of int8 meet queries and weights of int16, two at a time, in
// sums that are exact: at most 256 positions, or head_dim dimensions, of 32767 * 127.

// A cell is what one lane multiplies at a time: an element of f32 or bf16, two of int8.
template <KvType kType>
constexpr int kTogether = kType == KvType::kInt8 ? 2 : 1;
template <KvType kType>
constexpr int kCellBytes = kType == KvType::kF32 ? 4 : 2;
template <KvType kType>
constexpr int kUnitBytes = 16 * kCellBytes<kType>;
// Before the cells of a tile.
template <KvType kType>
constexpr int kScalesBytes = kType == KvType::kInt8 ? kKeyTile * 4 : 0;

// 16 cells, what they are multiplied with in all lanes, and sums.
template <KvType kType>
struct Cells {
  using Unit = Vec;
  static Unit Start() { return Zero(); }
  static Unit LoadUnit(const std::byte* p) {
    if constexpr (kType == KvType::kF32) return Load(reinterpret_cast<const float*>(p));
    if constexpr (kType == KvType::kBF16) return LoadBf16(reinterpret_cast<const std::uint16_t*>(p));
  }
  static Unit Broadcast(const float* word) { return Set(*word); }
  static Unit MultiplyAdd(Unit a, Unit b, Unit sum) { return Fma(a, b, sum); }
  static Vec ToFloats(Unit sum) { return sum; }
};
template <>
struct Cells<KvType::kInt8> {
  using Unit = IntVec;
  static Unit Start() { return SetInt(0); }
  static Unit LoadUnit(const std::byte* p) { return LoadBytePairs(p); }
  static Unit Broadcast(const float* word) {
    std::int32_t pair;
    __builtin_memcpy(&pair, word, sizeof(pair));
    return SetInt(pair);
  }
  static Unit MultiplyAdd(Unit a, Unit b, Unit sum) { return AddDotPairs(a, b, sum); }
  static Vec ToFloats(Unit sum) { return ToFloat(sum); }
};

// The first n cells of 16.
template <KvType kType>
REPRISE_INLINE auto LoadUnitPartial(const std::byte* p, int n) {
  alignas(64) std::byte buffer[64] = {};
  __builtin_memcpy(buffer, p, static_cast<unsigned>(kCellBytes<kType> * n));
  return Cells<kType>::LoadUnit(buffer);
}
// The scales of a tile's positions.
REPRISE_INLINE Vec LoadScales(const std::byte* tile) {
  return Load(reinterpret_cast<const float*>(tile));
}

// What is read some tiles later (tile_walk.h) is fetched during all of a partition, at the pace of memory and
// in the order of its addresses: lines asked for faster than memory delivers are dropped, and a phase that
// asks for none leaves memory idle. So reading keys fetches three lines for four, reading values a line for
// each, and the softmax what is left.
struct Ahead {
  const std::byte* at;   // the next line; null when there is none
  const std::byte* end;  // of its tile
  const std::byte* const* tiles;
  int left;  // tiles after it
  std::ptrdiff_t tile_bytes;
  int softmax_lines;  // for each tile, in each pass of the softmax
};

template <KvType kType>
REPRISE_INLINE Ahead StartAhead(const AttendPartition& work) {
  constexpr int kSoftmaxPasses = kType == KvType::kInt8 ? 2 : 1;
  constexpr int kTileCells = kKeyTile / kTogether<kType>;
  const std::ptrdiff_t bytes = kScalesBytes<kType> + work.head_dim * (kTileCells * kCellBytes<kType>);
  const std::ptrdiff_t softmax_bytes = bytes / (4 * kSoftmaxPasses);
  Ahead ahead = {nullptr,          nullptr, work.ahead,
                 work.ahead_tiles, bytes,   static_cast<int>((softmax_bytes + 63) / 64)};
  if (ahead.left == 0) return ahead;
  ahead.at = *ahead.tiles++;
  ahead.end = ahead.at + bytes;
  --ahead.left;
  return ahead;
}

// Fetches the lines of so many bytes. Tiles mostly lie one after another: what lies beyond the end of one is
// the start of the next.
REPRISE_INLINE void FetchAhead(Ahead* ahead, std::ptrdiff_t bytes) {
  if (ahead->at == nullptr) return;
  for (std::ptrdiff_t i = 0; i < bytes; i += 64)
    _mm_prefetch(reinterpret_cast<const char*>(ahead->at + i), _MM_HINT_T0);
  ahead->at += bytes;
  if (ahead->at < ahead->end) return;
  if (ahead->left-- == 0) {
    ahead->at = nullptr;
    return;
  }
  const std::ptrdiff_t beyond = ahead->at - ahead->end;
  const std::byte* tile = *ahead->tiles++;
  ahead->at = tile + beyond;
  ahead->end = tile + ahead->tile_bytes;
}

// Adds unit u of the keys to the sums.
template <KvType kType, int kRows, int kTiles>
REPRISE_INLINE void ScoreUnit(const float* words, const std::byte* const (&keys)[kTiles], std::ptrdiff_t at,
                              typename Cells<kType>::Unit (&sum)[kRows][kTiles]) {
  using Kind = Cells<kType>;
  typename Kind::Unit key[kTiles];
  REPRISE_UNROLL
  for (int i = 0; i < kTiles; ++i) key[i] = Kind::LoadUnit(keys[i] + at);
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    const typename Kind::Unit x = Kind::Broadcast(words + r);
    REPRISE_UNROLL
    for (int i = 0; i < kTiles; ++i) sum[r][i] = Kind::MultiplyAdd(x, key[i], sum[r][i]);
  }
}

// Lane i of a where row r sees position i of tile t, of b elsewhere. kWhole: every row sees every position.
template <bool kWhole>
REPRISE_INLINE Vec SelectSeen(const AttendPartition& work, int r, int t, Vec a, Vec b) {
  if constexpr (kWhole) return a;
  const int first = work.first[r] - kKeyTile * t;
  const int last = work.last[r] - kKeyTile * t;
  if (first <= 0 && last >= kKeyTile - 1) return a;
  return SelectRange(first, last, a, b);
}

// scores[r][16 (tile + i) ..] for kTiles tiles; maximum[r] grows with those that the row sees.
template <KvType kType, int kRows, int kTiles, bool kWhole>
REPRISE_INLINE void ScoreTiles(const AttendPartition& work, int tile, Ahead* ahead, Vec (&maximum)[kRows],
                               float (&scores)[kRows][kPartition]) {
  using Kind = Cells<kType>;
  typename Kind::Unit sum[kRows][kTiles];
  const std::byte* keys[kTiles];
  REPRISE_UNROLL
  for (int i = 0; i < kTiles; ++i) {
    keys[i] = work.key_tiles[tile + i] + kScalesBytes<kType>;
    REPRISE_UNROLL
    for (int r = 0; r < kRows; ++r) sum[r][i] = Kind::Start();
  }
  Ahead next = *ahead;  // in registers
  constexpr int kLineUnits = 64 / kUnitBytes<kType>;
  const float* words = work.queries;
  const int units = work.head_dim / kTogether<kType>;
  std::ptrdiff_t at = 0;
  int u = 0;
  for (; u + kLineUnits <= units; u += kLineUnits) {
    FetchAhead(&next, 64 * kTiles * 3 / 4);
    REPRISE_UNROLL
    for (int j = 0; j < kLineUnits; ++j, words += kRows, at += kUnitBytes<kType>)
      ScoreUnit<kType, kRows, kTiles>(words, keys, at, sum);
  }
  for (; u < units; ++u, words += kRows, at += kUnitBytes<kType>)
    ScoreUnit<kType, kRows, kTiles>(words, keys, at, sum);
  *ahead = next;
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    REPRISE_UNROLL
    for (int i = 0; i < kTiles; ++i) {
      Vec scale = Set(work.score_scale[r]);
      if constexpr (kType == KvType::kInt8) scale = Mul(scale, LoadScales(keys[i] - kScalesBytes<kType>));
      const Vec score = Mul(Kind::ToFloats(sum[r][i]), scale);
      Store(scores[r] + kKeyTile * (tile + i), score);
      maximum[r] = Max(maximum[r], SelectSeen<kWhole>(work, r, tile + i, score, Set(kNoScore)));
    }
  }
}

// Of one row's weights that meet values of int8, before they are rounded.
struct LargestWeight {
  Vec largest;
  Vec check;  // becomes NaN with any weight that is not finite
};

// Turns scores into weights, zero outside the rows' ranges, and adds them to sum[r]. Weights that meet values
// of int8 are multiplied by the values' scales, once they are summed.
template <KvType kType, int kRows, bool kWhole>
REPRISE_INLINE void WeighTile(const AttendPartition& work, int t, const Vec (&top)[kRows], Vec (&sum)[kRows],
                              LargestWeight (&largest)[kRows], float (&scores)[kRows][kPartition]) {
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    float* at = scores[r] + kKeyTile * t;
    Vec weight = SelectSeen<kWhole>(work, r, t, Exp(Sub(Load(at), top[r])), Zero());
    sum[r] = Add(sum[r], weight);
    if constexpr (kType == KvType::kInt8) {
      weight = SelectSeen<kWhole>(work, r, t, Mul(weight, LoadScales(work.value_tiles[t])), Zero());
      largest[r].largest = Max(largest[r].largest, weight);
      largest[r].check = Fma(weight, Zero(), largest[r].check);
    }
    Store(at, weight);
  }
}

// Puts in the place of the rows' weights, two in the place of one, int16 whose products with scales[r] they
// are.
template <int kRows>
REPRISE_INLINE void RoundWeights(int first_tile, int last_tile, const LargestWeight (&largest)[kRows],
                                 Ahead* ahead, float (&weights)[kRows][kPartition], float (&scales)[kRows]) {
  Vec inverse[kRows];
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    const float maximum = Maximum(largest[r].largest) + Sum(largest[r].check);
    const bool zero = maximum < kSmallestMaximum;  // false for NaN, which thus reaches the output
    inverse[r] = Set(zero ? 0.0f : 32767.0f / maximum);
    scales[r] = zero ? 0.0f : maximum / 32767.0f;
  }
  for (int t = first_tile; t <= last_tile; ++t) {
    const int at = kKeyTile * t;
    FetchAhead(ahead, 64 * ahead->softmax_lines);
    REPRISE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const IntVec rounded = RoundToInt(Mul(Load(weights[r] + at), inverse[r]));
      StoreInt16(reinterpret_cast<std::int16_t*>(weights[r]) + at, rounded);
    }
  }
}

// The weights of all rows, as WeighValues takes them; writes the rows' maxima and sums.
template <KvType kType, int kRows, bool kWhole>
REPRISE_INLINE void ComputeWeights(const AttendPartition& work, int first_tile, int last_tile, Ahead* ahead,
                                   float (&weights)[kRows][kPartition], float (&scales)[kRows]) {
  Vec maximum[kRows], top[kRows], sum[kRows];
  LargestWeight largest[kRows];
  for (int r = 0; r < kRows; ++r) maximum[r] = Set(kNoScore);
  constexpr int kTiles = kScoreTiles<kRows>;
  int t = first_tile;
  for (; t + kTiles <= last_tile + 1; t += kTiles)
    ScoreTiles<kType, kRows, kTiles, kWhole>(work, t, ahead, maximum, weights);
  for (; t <= last_tile; ++t) ScoreTiles<kType, kRows, 1, kWhole>(work, t, ahead, maximum, weights);

  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    work.state.maximum[r] = Maximum(maximum[r]);
    top[r] = Set(work.state.maximum[r]);
    sum[r] = Zero();
    largest[r] = {Zero(), Zero()};
  }
  for (t = first_tile; t <= last_tile; ++t) {
    FetchAhead(ahead, 64 * ahead->softmax_lines);
    WeighTile<kType, kRows, kWhole>(work, t, top, sum, largest, weights);
  }
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    work.state.sum[r] = Sum(sum[r]);
    scales[r] = 1.0f;
  }
  if constexpr (kType == KvType::kInt8) RoundWeights(first_tile, last_tile, largest, ahead, weights, scales);
}

// state.values[r][d .. d + 16 kVecs) = scales[r] * the sum over positions [first, last] of weight * value.
// kWhole: all of those dimensions exist; otherwise kVecs is 1 and fewer do.
template <KvType kType, int kRows, int kVecs, bool kWhole>
REPRISE_INLINE void WeighValues(const AttendPartition& work, int first, int last, int d, Ahead* ahead,
                                const float (&weights)[kRows][kPartition], const float (&scales)[kRows]) {
  using Kind = Cells<kType>;
  typename Kind::Unit sum[kRows][kVecs];
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    REPRISE_UNROLL
    for (int i = 0; i < kVecs; ++i) sum[r][i] = Kind::Start();
  }
  Ahead next = *ahead;  // in registers
  const std::ptrdiff_t row_bytes = static_cast<std::ptrdiff_t>(work.head_dim) * kCellBytes<kType>;
  for (int t = first / kKeyTile; t <= last / kKeyTile; ++t) {
    const int begin = first > kKeyTile * t ? first - kKeyTile * t : 0;
    const int end = last < kKeyTile * t + kKeyTile - 1 ? last - kKeyTile * t : kKeyTile - 1;
    const int from = begin / kTogether<kType>;
    const int to = end / kTogether<kType>;
    const std::ptrdiff_t start = kScalesBytes<kType> + d * kCellBytes<kType> + from * row_bytes;
    const std::byte* values = work.value_tiles[t] + start;
    const std::ptrdiff_t word = kKeyTile / kTogether<kType> * t;
    for (int g = from; g <= to; ++g, values += row_bytes) {
      FetchAhead(&next, kVecs * kUnitBytes<kType>);
      typename Kind::Unit value[kVecs];
      REPRISE_UNROLL
      for (int i = 0; i < kVecs; ++i) {
        value[i] = kWhole ? Kind::LoadUnit(values + i * kUnitBytes<kType>)
                          : LoadUnitPartial<kType>(values, work.head_dim - d);
      }
      REPRISE_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const typename Kind::Unit weight = Kind::Broadcast(weights[r] + word + g);
        REPRISE_UNROLL
        for (int i = 0; i < kVecs; ++i) sum[r][i] = Kind::MultiplyAdd(weight, value[i], sum[r][i]);
      }
    }
  }
  *ahead = next;
  REPRISE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    REPRISE_UNROLL
    for (int i = 0; i < kVecs; ++i) {
      Vec value = Kind::ToFloats(sum[r][i]);
      if constexpr (kType == KvType::kInt8) value = Mul(value, Set(scales[r]));
      Store(work.state.values + r * work.state.stride + d + 16 * i, value);
    }
  }
}

template <KvType kType, int kRows>
void AttendRows(const AttendPartition& work) {
  int first = kPartition;
  int last = -1;
  bool whole = true;
  for (int r = 0; r < kRows; ++r) {
    whole = whole && work.first[r] <= 0 && work.last[r] >= kPartition - 1;
    if (work.last[r] < work.first[r]) continue;
    if (work.first[r] < first) first = work.first[r];
    if (work.last[r] > last) last = work.last[r];
  }
  const int first_tile = first / kKeyTile;
  const int last_tile = last < 0 ? first_tile - 1 : last / kKeyTile;

  alignas(64) float weights[kRows][kPartition];
  float scales[kRows];
  Ahead ahead = StartAhead<kType>(work);
  if (whole)
    ComputeWeights<kType, kRows, true>(work, first_tile, last_tile, &ahead, weights, scales);
  else
    ComputeWeights<kType, kRows, false>(work, first_tile, last_tile, &ahead, weights, scales);

  constexpr int kVecs = kValueVecs<kRows>;
  int d = 0;
  for (; d + 16 * kVecs <= work.head_dim; d += 16 * kVecs)
    WeighValues<kType, kRows, kVecs, true>(work, first, last, d, &ahead, weights, scales);
  for (; d + 16 <= work.head_dim; d += 16)
    WeighValues<kType, kRows, 1, true>(work, first, last, d, &ahead, weights, scales);
  if (d < work.head_dim) WeighValues<kType, kRows, 1, false>(work, first, last, d, &ahead, weights, scales);
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
