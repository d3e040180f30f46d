// The end of attention: states of several partitions become one, in ascending order, and a state becomes the
// output. Every sum is one chain over ascending partitions, so that how many are merged together changes no
// bit.

// Of some rows and states that are merged: what the sums so far are multiplied with, and what those added.
constexpr int kMergeRows = 16;
constexpr int kMergeStates = 16;
struct MergeFactors {
  alignas(64) float keep[kMergeStates * kMergeRows] = {};
  alignas(64) float add[kMergeStates * kMergeRows] = {};
};

// Rows [row, row + rows) and states [first, first + count); to.maximum and to.sum become those of all.
REPRISE_INLINE void MergeSums(const AttentionMerge& work, int row, int rows, int first, int count,
                              MergeFactors* factors) {
  float* maximum = work.to.maximum + row;
  float* sum = work.to.sum + row;
  const std::ptrdiff_t from = first * work.stride + row;
  for (int i = 0, n = 0; i < count; ++i) {
    const float* other = work.from.maximum + from + i * work.stride;
    for (int r = 0; r < rows; ++r, ++n) {
      const float larger = maximum[r] > other[r] ? maximum[r] : other[r];
      factors->keep[n] = maximum[r] - larger;
      factors->add[n] = other[r] - larger;
      maximum[r] = larger;
    }
  }
  for (int n = 0; n < count * rows; n += 16) {
    Store(factors->keep + n, Exp(Load(factors->keep + n)));
    Store(factors->add + n, Exp(Load(factors->add + n)));
  }
  for (int i = 0, n = 0; i < count; ++i) {
    const float* other = work.from.sum + from + i * work.stride;
    for (int r = 0; r < rows; ++r, ++n) sum[r] = sum[r] * factors->keep[n] + other[r] * factors->add[n];
  }
}

// 16 kVecs dimensions of one row; the factors of its states are `rows` apart.
template <int kVecs>
REPRISE_INLINE void MergeValues(float* to, const float* from, std::ptrdiff_t stride, int count,
                                const float* keep, const float* add, int rows) {
  Vec value[kVecs];
  REPRISE_UNROLL
  for (int v = 0; v < kVecs; ++v) value[v] = Load(to + 16 * v);
  for (int i = 0; i < count; ++i, from += stride, keep += rows, add += rows) {
    REPRISE_UNROLL
    for (int v = 0; v < kVecs; ++v) value[v] = Fma(value[v], Set(*keep), Mul(Load(from + 16 * v), Set(*add)));
  }
  REPRISE_UNROLL
  for (int v = 0; v < kVecs; ++v) Store(to + 16 * v, value[v]);
}

// Merging with a state of no positions changes no bit: its weight meets sums of zero.
void Merge(const AttentionMerge& work) {
  for (int row = 0; row < work.rows; row += kMergeRows) {
    const int rows = work.rows - row < kMergeRows ? work.rows - row : kMergeRows;
    for (int first = 0; first < work.count; first += kMergeStates) {
      const int count = work.count - first < kMergeStates ? work.count - first : kMergeStates;
      MergeFactors factors;
      MergeSums(work, row, rows, first, count, &factors);
      for (int r = 0; r < rows; ++r) {
        float* to = work.to.values + (row + r) * work.to.stride;
        const float* from = work.from.values + first * work.stride + (row + r) * work.from.stride;
        const float* keep = factors.keep + r;
        const float* add = factors.add + r;
        int d = 0;
        for (; d + 64 <= work.head_dim; d += 64)
          MergeValues<4>(to + d, from + d, work.stride, count, keep, add, rows);
        for (; d < work.head_dim; d += 16)
          MergeValues<1>(to + d, from + d, work.stride, count, keep, add, rows);
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
