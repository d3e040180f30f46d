// Norms, activation, rotary embedding and the last additions of a matmul.

// Sixteen partial sums, lane k % 16, ascending; then Sum's tree.
REPRISE_INLINE float SumOfSquares(const float* x, int n) {
  Vec sum = Zero();
  int k = 0;
  for (; k + 16 <= n; k += 16) sum = Fma(Load(x + k), Load(x + k), sum);
  if (k < n) {
    const Vec tail = LoadPartial(x + k, n - k);
    sum = Fma(tail, tail, sum);
  }
  return Sum(sum);
}

void RmsNorm(const RmsNormRow& row) {
  const float mean = SumOfSquares(row.x, row.columns) / static_cast<float>(row.norm_dim);
  const Vec scale = Set(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + row.epsilon))));
  for (int k = 0; k < row.columns; k += 16) {
    const int n = row.columns - k;
    Vec x = Mul(LoadPartial(row.x + k, n), scale);
    if (row.weight != nullptr) x = Mul(x, LoadPartial(row.weight + k, n));
    StorePartial(row.out + k, x, n);
  }
}

// Lane k % 16 sums ascending, as in SumOfSquares.
REPRISE_INLINE float SumOfRow(const float* x, int n) {
  Vec sum = Zero();
  for (int k = 0; k < n; k += 16) sum = Add(sum, LoadPartial(x + k, n - k));
  return Sum(sum);
}

// Deviations first, into `out`, and their squares from there.
void LayerNorm(const LayerNormRow& row) {
  const auto columns = static_cast<float>(row.columns);
  const Vec mean = Set(SumOfRow(row.x, row.columns) / columns);
  for (int k = 0; k < row.columns; k += 16) {
    const int n = row.columns - k;
    StorePartial(row.out + k, Sub(LoadPartial(row.x + k, n), mean), n);
  }
  const float variance = SumOfSquares(row.out, row.columns) / columns;
  const Vec scale = Set(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(variance + row.epsilon))));
  for (int k = 0; k < row.columns; k += 16) {
    const int n = row.columns - k;
    const Vec scaled = Mul(LoadPartial(row.out + k, n), scale);
    StorePartial(row.out + k, Add(Mul(scaled, LoadPartial(row.weight + k, n)), LoadPartial(row.bias + k, n)),
                 n);
  }
}

// Zero first: the maximum of two then passes a NaN on.
void Relu(const float* x, int n, float* out) {
  for (int k = 0; k < n; k += 16) StorePartial(out + k, Max(Zero(), LoadPartial(x + k, n - k)), n - k);
}

void GeluTanh(const float* x, int n, float* out) {
  for (int k = 0; k < n; k += 16) {
    const Vec v = LoadPartial(x + k, n - k);
    const Vec inner = Fma(Mul(Mul(Set(0.044715f), v), v), v, v);
    const Vec e = Exp(Mul(Set(-1.5957691216f), inner));  // -2 sqrt(2 / pi)
    StorePartial(out + k, Div(v, Add(Set(1.0f), e)), n - k);
  }
}

void AddRow(const float* x, int n, float* out) {
  for (int k = 0; k < n; k += 16)
    StorePartial(out + k, Add(LoadPartial(out + k, n - k), LoadPartial(x + k, n - k)), n - k);
}

void SiluMul(const float* gate, const float* up, int n, float* out) {
  for (int k = 0; k < n; k += 16) {
    const Vec g = LoadPartial(gate + k, n - k);
    const Vec silu = Div(g, Add(Set(1.0f), Exp(Sub(Zero(), g))));
    StorePartial(out + k, Mul(silu, LoadPartial(up + k, n - k)), n - k);
  }
}

void Rotate(const RotateHead& head) {
  const int half = head.rotary_dim / 2;
  const float* x = head.x;
  if (head.norm_weight != nullptr) {
    RmsNorm({x, head.norm_weight, head.out, head.head_dim, head.head_dim, head.epsilon});
    x = head.out;
  }
  if (x != head.out) {
    for (int i = head.rotary_dim; i < head.head_dim; i += 16)
      StorePartial(head.out + i, LoadPartial(x + i, head.head_dim - i), head.head_dim - i);
  }
  for (int i = 0; i < half; i += 16) {
    const int n = half - i;
    const Vec a = LoadPartial(x + i, n);
    const Vec b = LoadPartial(x + half + i, n);
    const Vec cos = LoadPartial(head.cos + i, n);
    const Vec sin = LoadPartial(head.sin + i, n);
    StorePartial(head.out + i, Sub(Mul(a, cos), Mul(b, sin)), n);
    StorePartial(head.out + half + i, Add(Mul(b, cos), Mul(a, sin)), n);
  }
}

void WriteSums(const SumsToOutput& work) {
  const float* sums = work.sums;
  float* out = work.out;
  for (int r = 0; r < work.rows; ++r, sums += kTileRows, out += work.stride) {
    for (int n = 0; n < work.columns; n += 16) {
      const int left = work.columns - n;
      Vec sum = Load(sums + n);
      if (work.bias != nullptr) sum = Add(sum, LoadPartial(work.bias + n, left));
      if (work.accumulate) sum = Add(LoadPartial(out + n, left), sum);
      StorePartial(out + n, sum, left);
    }
  }
}
