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

// What is read after this partition is fetched during all of it, at the pace of memory and in the order of
// its addresses: lines asked for faster than memory delivers are dropped, and a phase that asks for none
// leaves memory idle. So reading keys fetches three lines for four, reading values a line for each, and the
// softmax what is left.
struct Ahead {
  const std::byte* at;   // the next line; null when there is none
  const std::byte* end;  // of its tile
  const std::byte* const* tiles;
  int left;  // tiles after it
  std::ptrdiff_t tile_bytes;
  int softmax_lines;  // for each row and tile, in each pass of the softmax
};

template <KvType kType>
REPRISE_INLINE Ahead StartAhead(const AttendPartition& work) {
  constexpr int kSoftmaxPasses = kType == KvType::kInt8 ? 2 : 1;
  constexpr int kTileCells = kKeyTile / kTogether<kType>;
  const std::ptrdiff_t bytes = kScalesBytes<kType> + work.head_dim * (kTileCells * kCellBytes<kType>);
  const std::ptrdiff_t softmax_bytes = bytes / (4 * kSoftmaxPasses * work.rows);
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
  REPRISE_UNROLL
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

// scores[r][16 (tile + i) ..] for kTiles tiles.
template <KvType kType, int kRows, int kTiles>
REPRISE_INLINE void ScoreTiles(const AttendPartition& work, int tile, Ahead* ahead,
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
      Store(scores[r] + kKeyTile * (tile + i), Mul(Kind::ToFloats(sum[r][i]), scale));
    }
  }
}

// As SelectRange; most tiles are seen whole.
REPRISE_INLINE Vec SelectSeen(int first, int last, Vec a, Vec b) {
  if (first <= 0 && last >= kKeyTile - 1) return a;
  return SelectRange(first, last, a, b);
}

// Turns the scores of one row into weights, zero outside its range; writes its maximum and sum. Weights that
// meet values of int8 are multiplied by the values' scales, once they are summed.
template <KvType kType>
REPRISE_INLINE void Softmax(const AttendPartition& work, int r, int first_tile, int last_tile, Ahead* ahead,
                            float* scores) {
  const int first = work.first[r];
  const int last = work.last[r];
  Vec maximum = Set(kNoScore);
  for (int t = first_tile; t <= last_tile; ++t) {
    const int at = kKeyTile * t;
    maximum = Max(maximum, SelectSeen(first - at, last - at, Load(scores + at), Set(kNoScore)));
  }
  const float top = Maximum(maximum);
  Vec sum = Zero();
  for (int t = first_tile; t <= last_tile; ++t) {
    const int at = kKeyTile * t;
    FetchAhead(ahead, 64 * ahead->softmax_lines);
    Vec weight = SelectSeen(first - at, last - at, Exp(Sub(Load(scores + at), Set(top))), Zero());
    sum = Add(sum, weight);
    if constexpr (kType == KvType::kInt8)
      weight = SelectSeen(first - at, last - at, Mul(weight, LoadScales(work.value_tiles[t])), Zero());
    Store(scores + at, weight);
  }
  work.state.maximum[r] = top;
  work.state.sum[r] = Sum(sum);
}

// Puts in the place of one row's weights, two in the place of one, int16 whose product with the returned
// scale they are.
REPRISE_INLINE float QuantizeWeights(int first_tile, int last_tile, Ahead* ahead, float* weights) {
  Vec largest = Zero();
  Vec check = Zero();  // becomes NaN with any weight that is not finite
  for (int t = first_tile; t <= last_tile; ++t) {
    const Vec weight = Load(weights + kKeyTile * t);
    largest = Max(largest, weight);
    check = Fma(weight, Zero(), check);
  }
  const float maximum = Maximum(largest) + Sum(check);
  const bool zero = maximum < kSmallestMaximum;  // false for NaN, which thus reaches the output
  const Vec inverse = Set(zero ? 0.0f : 32767.0f / maximum);
  for (int t = first_tile; t <= last_tile; ++t) {
    const int at = kKeyTile * t;
    FetchAhead(ahead, 64 * ahead->softmax_lines);
    StoreInt16(reinterpret_cast<std::int16_t*>(weights) + at, RoundToInt(Mul(Load(weights + at), inverse)));
  }
  return zero ? 0.0f : maximum / 32767.0f;
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
  for (int r = 0; r < kRows; ++r) {
    if (work.last[r] < work.first[r]) continue;
    if (work.first[r] < first) first = work.first[r];
    if (work.last[r] > last) last = work.last[r];
  }
  const int first_tile = first / kKeyTile;
  const int last_tile = last < 0 ? first_tile - 1 : last / kKeyTile;

  alignas(64) float scores[kRows][kPartition];
  Ahead ahead = StartAhead<kType>(work);
  constexpr int kTiles = kScoreTiles<kRows>;
  int t = first_tile;
  for (; t + kTiles <= last_tile + 1; t += kTiles) ScoreTiles<kType, kRows, kTiles>(work, t, &ahead, scores);
  for (; t <= last_tile; ++t) ScoreTiles<kType, kRows, 1>(work, t, &ahead, scores);
  float scales[kRows];
  for (int r = 0; r < kRows; ++r) {
    Softmax<kType>(work, r, first_tile, last_tile, &ahead, scores[r]);
    scales[r] = 1.0f;
    if constexpr (kType == KvType::kInt8)
      scales[r] = QuantizeWeights(first_tile, last_tile, &ahead, scores[r]);
  }

  constexpr int kVecs = kValueVecs<kRows>;
  int d = 0;
  for (; d + 16 * kVecs <= work.head_dim; d += 16 * kVecs)
    WeighValues<kType, kRows, kVecs, true>(work, first, last, d, &ahead, scores, scales);
  for (; d + 16 <= work.head_dim; d += 16)
    WeighValues<kType, kRows, 1, true>(work, first, last, d, &ahead, scores, scales);
  if (d < work.head_dim) WeighValues<kType, kRows, 1, false>(work, first, last, d, &ahead, scores, scales);
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

// Merging with a state of no positions changes no bit: its weight meets sums of zero.
void Merge(const AttentionState& to, const AttentionState& from, int rows, int head_dim) {
  for (int first = 0; first < rows; first += 16) {
    const int count = rows - first < 16 ? rows - first : 16;
    const Vec to_maximum = LoadPartial(to.maximum + first, count);
    const Vec from_maximum = LoadPartial(from.maximum + first, count);
    const Vec maximum = Max(to_maximum, from_maximum);
    const Vec keep = Exp(Sub(to_maximum, maximum));
    const Vec add = Exp(Sub(from_maximum, maximum));
    const Vec kept = Mul(LoadPartial(to.sum + first, count), keep);
    const Vec added = Mul(LoadPartial(from.sum + first, count), add);
    StorePartial(to.maximum + first, maximum, count);
    StorePartial(to.sum + first, Add(kept, added), count);
    alignas(64) float keeps[16], adds[16];
    Store(keeps, keep);
    Store(adds, add);
    for (int r = 0; r < count; ++r) {
      float* values = to.values + (first + r) * to.stride;
      const float* more = from.values + (first + r) * from.stride;
      for (int d = 0; d < head_dim; d += 16) {
        const Vec scaled = Mul(Load(more + d), Set(adds[r]));
        Store(values + d, Fma(Load(values + d), Set(keeps[r]), scaled));
      }
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
