// MatMul on every leg: the exact bits of the integer oracle, the reference within a derived bound, and
// independence of batch, threads and blocking.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/conformance/ops/integer_oracle.h"
#include "tests/conformance/ops/legs.h"
#include "tests/conformance/ops/op_data.h"

namespace reprise::test {
namespace {

bool IsQuantized(WeightType type) {
  return GetWeightTypeInfo(type).block_elements > 1;
}

// Tiny, with remainders in rows and tiles, and longer than a chunk of columns.
const WeightShapes kShapes = {{{1, 1}, {5, 7}, {33, 48}, {64, 100}, {40, 1100}},
                              {{1, 32}, {33, 96}, {70, 1056}},
                              {{1, 256}, {33, 512}, {40, 1280}}};

// How far rounded activations and sums may take element (t, n) from the exact product.
double ErrorBound(WeightType type, Bf16Products bf16, const float* x, const float* w, int columns) {
  double quantisation = 0.0;
  double products = 0.0;
  for (int begin = 0; begin < columns; begin += 32) {
    const int end = std::min(columns, begin + 32);
    double maximum = 0.0;
    double weights = 0.0;
    for (int k = begin; k < end; ++k) {
      maximum = std::max<double>(maximum, std::fabs(x[k]));
      weights += std::fabs(w[k]);
      products += std::fabs(static_cast<double>(x[k]) * w[k]);
    }
    quantisation += maximum / 254.0 * weights;
  }
  const double rounding = (columns + 8) * std::ldexp(1.0, -23) * products;
  double activations = IsQuantized(type) ? 1.01 * quantisation : 0.0;
  if (type == WeightType::kBF16 && bf16 != Bf16Products::kWidened) activations = std::ldexp(products, -8);
  return activations + 2 * rounding + 1e-30;
}

TEST_CASE("quantised kernels give the integer oracle's bits") {
  for (Leg& leg : CpuLegs()) {
    for (WeightType type : kAllWeightTypes) {
      if (!IsQuantized(type)) continue;
      for (Shape shape : kShapes.Of(type)) {
        INFO(leg.name << " " << GetWeightTypeInfo(type).name << " " << shape.rows << " x " << shape.columns);
        const std::vector<std::byte> data = RandomWeight(type, shape.rows, shape.columns, 1);
        const std::unique_ptr<Weight> weight = Pack(leg.backend.get(), type, data, shape);
        const std::vector<float> x = RandomRows(40, shape.columns, 2);
        const std::vector<float> expected = IntegerMatMul(type, data, shape.rows, shape.columns, x);
        for (int m : {1, 2, 3, 4, 5, 6, 7, 8, 13, 16, 17, 33, 40}) {
          INFO("m = " << m);
          CHECK(FirstDifference(Multiply(leg.backend.get(), *weight, RowsOf(x, shape.columns, 0, m)),
                                RowsOf(expected, shape.rows, 0, m)) == -1);
        }
      }
    }
  }
}

TEST_CASE("float kernels give the reference's bits") {
  const std::unique_ptr<Backend> reference = MakeReferenceBackend();
  for (Leg& leg : CpuLegs()) {
    for (WeightType type : {WeightType::kF32, WeightType::kF16}) {
      for (Shape shape : kShapes.Of(type)) {
        INFO(leg.name << " " << GetWeightTypeInfo(type).name << " " << shape.rows << " x " << shape.columns);
        const std::vector<std::byte> data = RandomWeight(type, shape.rows, shape.columns, 3);
        const std::vector<float> x = RandomRows(40, shape.columns, 4);
        const std::unique_ptr<Weight> weight = Pack(leg.backend.get(), type, data, shape);
        const std::unique_ptr<Weight> oracle = Pack(reference.get(), type, data, shape);
        for (int m : {1, 2, 3, 5, 6, 7, 13, 40}) {
          INFO("m = " << m);
          const std::vector<float> rows = RowsOf(x, shape.columns, 0, m);
          CHECK(FirstDifference(Multiply(leg.backend.get(), *weight, rows),
                                Multiply(reference.get(), *oracle, rows)) == -1);
        }
      }
    }
  }
}

TEST_CASE("every type stays within the bound of its activations' rounding") {
  const std::unique_ptr<Backend> reference = MakeReferenceBackend();
  for (Leg& leg : CpuLegs()) {
    for (WeightType type : kAllWeightTypes) {
      const Shape shape{64, 768};
      const std::vector<std::byte> data = RandomWeight(type, shape.rows, shape.columns, 5);
      const std::vector<float> w = DequantizeAll(type, data, shape.rows, shape.columns);
      const std::vector<float> x = RandomRows(8, shape.columns, 6);
      const std::vector<float> got =
          Multiply(leg.backend.get(), *Pack(leg.backend.get(), type, data, shape), x);
      const std::vector<float> wanted =
          Multiply(reference.get(), *Pack(reference.get(), type, data, shape), x);
      int outside = 0;
      for (int t = 0; t < 8; ++t) {
        for (int n = 0; n < shape.rows; ++n) {
          const std::size_t i = static_cast<std::size_t>(t) * shape.rows + n;
          const double bound = ErrorBound(type, leg.bf16, x.data() + t * shape.columns,
                                          w.data() + n * shape.columns, shape.columns);
          if (!(std::fabs(got[i] - wanted[i]) <= bound)) ++outside;
        }
      }
      INFO(leg.name << " " << GetWeightTypeInfo(type).name);
      CHECK(outside == 0);
    }
  }
}

TEST_CASE("a row's bits do not depend on batch, pass or threads") {
  for (int threads : {1, 2, 3}) {
    for (Leg& leg : CpuLegs(threads)) {
      for (WeightType type : {WeightType::kQ4_1, WeightType::kQ6_K, WeightType::kBF16}) {
        INFO(leg.name << " " << GetWeightTypeInfo(type).name << ", threads " << threads);
        const Shape shape{96, 1280};
        const std::vector<std::byte> data = RandomWeight(type, shape.rows, shape.columns, 7);
        const std::unique_ptr<Weight> weight = Pack(leg.backend.get(), type, data, shape);
        const std::vector<float> x = RandomRows(300, shape.columns, 8);
        std::vector<float> one_by_one;
        for (int t = 0; t < 300; ++t) {
          const std::vector<float> out = Multiply(leg.backend.get(), *weight, RowsOf(x, shape.columns, t, 1));
          one_by_one.insert(one_by_one.end(), out.begin(), out.end());
        }
        for (int m : {11, 40, 255, 256, 257, 260, 300}) {
          INFO("m = " << m);
          CHECK(FirstDifference(Multiply(leg.backend.get(), *weight, RowsOf(x, shape.columns, 0, m)),
                                RowsOf(one_by_one, shape.rows, 0, m)) == -1);
        }
      }
    }
  }
}

TEST_CASE("stacked sources of different types, with a row order") {
  constexpr int kColumns = 512;
  const WeightType types[] = {WeightType::kQ4_K, WeightType::kQ6_K, WeightType::kQ4_0, WeightType::kBF16};
  const int rows[] = {48, 20, 33, 3};
  std::vector<int> order(48);
  for (int i = 0; i < 48; ++i) order[i] = (i * 7) % 48;
  std::vector<Leg> legs = CpuLegs();
  legs.push_back({"reference", MakeReferenceBackend()});
  for (Leg& leg : legs) {
    INFO(leg.name);
    const std::vector<float> x = RandomRows(9, kColumns, 9);
    std::vector<std::vector<std::byte>> data;
    std::vector<WeightSource> sources;
    std::vector<std::vector<float>> separate;
    for (int i = 0; i < 4; ++i) {
      data.push_back(RandomWeight(types[i], rows[i], kColumns, 10 + i));
      sources.push_back({types[i], data.back().data(), rows[i], kColumns, {}});
      separate.push_back(
          Multiply(leg.backend.get(), *Pack(leg.backend.get(), types[i], data[i], {rows[i], kColumns}), x));
    }
    sources[0].row_order = order;
    Result<std::unique_ptr<Weight>> stacked = leg.backend->Pack(sources);
    REQUIRE(stacked.ok());
    REQUIRE((*stacked)->rows() == 104);
    const std::vector<float> out = Multiply(leg.backend.get(), **stacked, x);
    std::vector<float> expected;
    for (int t = 0; t < 9; ++t) {
      for (int i = 0; i < 4; ++i) {
        for (int n = 0; n < rows[i]; ++n)
          expected.push_back(separate[i][t * rows[i] + (i == 0 ? order[n] : n)]);
      }
    }
    CHECK(FirstDifference(out, expected) == -1);
  }
}

TEST_CASE("prologues, bias and accumulation") {
  constexpr int kRows = 70;
  constexpr int kColumns = 224;
  constexpr int kBatch = 9;
  std::vector<Leg> legs = CpuLegs();
  legs.push_back({"reference", MakeReferenceBackend()});
  const std::vector<std::byte> data = RandomWeight(WeightType::kQ8_0, kRows, kColumns, 20);
  const std::vector<float> norm_weight = RandomRows(1, kColumns, 21);
  const std::vector<float> bias = RandomRows(1, kRows, 22);
  const std::vector<float> residual = RandomRows(kBatch, kRows, 23);
  const std::vector<float> wide = RandomRows(kBatch, 2 * kColumns, 24);
  std::vector<float> first_silu;
  for (Leg& leg : legs) {
    INFO(leg.name);
    Backend* backend = leg.backend.get();
    const std::unique_ptr<Weight> weight = Pack(backend, WeightType::kQ8_0, data, {kRows, kColumns});
    const std::vector<float> x = RandomRows(kBatch, kColumns, 25);

    // The fused norm is the norm op followed by a plain matmul, and out += product + bias.
    MatMulArgs args;
    args.x = View(x, kBatch, kColumns);
    args.weight = weight.get();
    args.prologue = Prologue::kRmsNorm;
    args.norm = {norm_weight.data(), 1e-5f, kColumns - 3};
    std::vector<float> out = residual;
    args.out = View(&out, kBatch, kRows);
    args.bias = bias.data();
    args.accumulate = true;
    backend->MatMul(args);
    std::vector<float> normed(x.size());
    backend->RmsNorm(args.x, args.norm, View(&normed, kBatch, kColumns));
    std::vector<float> expected = Multiply(backend, *weight, normed);
    for (std::size_t i = 0; i < expected.size(); ++i)
      expected[i] = residual[i] + (expected[i] + bias[i % kRows]);
    CHECK(FirstDifference(out, expected) == -1);

    // Bias alone.
    const std::vector<float> plain = Multiply(backend, *weight, x);
    args.prologue = Prologue::kNone;
    args.accumulate = false;
    backend->MatMul(args);
    for (std::size_t i = 0; i < plain.size(); ++i) expected[i] = plain[i] + bias[i % kRows];
    CHECK(FirstDifference(out, expected) == -1);

    // silu(gate) * up, gate being the left half.
    MatMulArgs silu;
    silu.x = View(wide, kBatch, 2 * kColumns);
    silu.weight = weight.get();
    silu.prologue = Prologue::kSiluMul;
    std::vector<float> got(static_cast<std::size_t>(kBatch) * kRows);
    silu.out = View(&got, kBatch, kRows);
    backend->MatMul(silu);
    std::vector<float> input(static_cast<std::size_t>(kBatch) * kColumns);
    for (int t = 0; t < kBatch; ++t) {
      for (int k = 0; k < kColumns; ++k) {
        const double gate = wide[t * 2 * kColumns + k];
        const double up = wide[t * 2 * kColumns + kColumns + k];
        input[t * kColumns + k] = static_cast<float>(gate / (1.0 + std::exp(-gate)) * up);
      }
    }
    const std::vector<float> w = DequantizeAll(WeightType::kQ8_0, data, kRows, kColumns);
    for (int t = 0; t < kBatch; ++t) {
      for (int n = 0; n < kRows; ++n) {
        double exact = 0.0;
        for (int k = 0; k < kColumns; ++k)
          exact += static_cast<double>(input[t * kColumns + k]) * w[n * kColumns + k];
        const double bound = ErrorBound(WeightType::kQ8_0, leg.bf16, input.data() + t * kColumns,
                                        w.data() + n * kColumns, kColumns);
        // The input itself is off by a few units in the last place.
        REQUIRE(std::fabs(got[t * kRows + n] - exact) <= 1.02 * bound);
      }
    }
    if (leg.name == "reference") continue;
    if (first_silu.empty()) first_silu = got;
    CHECK(FirstDifference(got, first_silu) == -1);  // all legs alike
  }
}

// prologue(x) of one element in double precision.
double Activated(Prologue prologue, double x) {
  if (prologue == Prologue::kRelu) return std::max(x, 0.0);
  return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
}

TEST_CASE("layer norm, ReLU and GELU before a product") {
  constexpr int kColumns = 45;
  constexpr int kBatch = 9;
  const Shape shape{33, kColumns};
  const std::vector<std::byte> data = RandomWeight(WeightType::kF32, shape.rows, shape.columns, 63);
  const std::vector<float> w = DequantizeAll(WeightType::kF32, data, shape.rows, shape.columns);
  const std::vector<float> x = RandomRows(kBatch, kColumns, 64);
  const std::vector<float> norm = RandomRows(2, kColumns, 65);
  std::vector<Leg> legs = CpuLegs();
  legs.push_back({"reference", MakeReferenceBackend()});
  for (Leg& leg : legs) {
    INFO(leg.name);
    const std::unique_ptr<Weight> weight = Pack(leg.backend.get(), WeightType::kF32, data, shape);
    MatMulArgs args;
    args.x = View(x, kBatch, kColumns);
    args.weight = weight.get();
    std::vector<float> out(static_cast<std::size_t>(kBatch) * shape.rows);
    args.out = View(&out, kBatch, shape.rows);
    args.prologue = Prologue::kLayerNorm;
    args.layer_norm = {norm.data(), norm.data() + kColumns, 1e-5f};
    leg.backend->MatMul(args);
    std::vector<float> normed(x.size());
    leg.backend->LayerNorm(args.x, args.layer_norm, View(&normed, kBatch, kColumns));
    CHECK(FirstDifference(out, Multiply(leg.backend.get(), *weight, normed)) == -1);
    for (Prologue prologue : {Prologue::kRelu, Prologue::kGeluTanh}) {
      args.prologue = prologue;
      leg.backend->MatMul(args);
      for (int t = 0; t < kBatch; ++t) {
        for (int n = 0; n < shape.rows; ++n) {
          double exact = 0.0, size = 0.0;
          for (int k = 0; k < kColumns; ++k) {
            const double term = Activated(prologue, x[t * kColumns + k]) * w[n * kColumns + k];
            exact += term;
            size += std::fabs(term);
          }
          REQUIRE(std::fabs(out[t * shape.rows + n] - exact) <= 64 * std::ldexp(1.0, -23) * size + 1e-6);
        }
      }
    }
  }
}

struct ProductPair {
  WeightType first;
  WeightType second;
};

// x [m, K1] and y [m, K2] against both weights in one pass, with a bias and what `out` held.
std::vector<float> MultiplyPair(Backend* backend, const Weight& first, const Weight& second,
                                const std::vector<float>& x, const std::vector<float>& y,
                                const std::vector<float>* bias) {
  const int m = static_cast<int>(x.size()) / first.columns();
  std::vector<float> out(static_cast<std::size_t>(m) * first.rows(), -1.0f);
  MatMulArgs args;
  args.x = View(x, m, first.columns());
  args.weight = &first;
  args.out = View(&out, m, first.rows());
  args.bias = bias != nullptr ? bias->data() : nullptr;
  args.second = {View(y, m, second.columns()), &second};
  backend->MatMul(args);
  REQUIRE(backend->Synchronize().ok());
  return out;
}

TEST_CASE("a second product is summed with the first") {
  constexpr int kBatch = 300;
  constexpr int kFirst = 1280;
  const std::unique_ptr<Backend> reference = MakeReferenceBackend();
  const ProductPair pairs[] = {
      {WeightType::kF32, WeightType::kF32},   {WeightType::kBF16, WeightType::kF32},
      {WeightType::kQ4_1, WeightType::kQ8_0}, {WeightType::kQ8_0, WeightType::kF16},
      {WeightType::kF16, WeightType::kQ4_0},  {WeightType::kQ4_0, WeightType::kQ4_0}};
  for (const int rows : {33, 96}) {
    for (const ProductPair& pair : pairs) {
      const bool floats = !IsQuantized(pair.first) && !IsQuantized(pair.second);
      const int second_columns = IsQuantized(pair.second) ? 96 : 45;
      const std::vector<std::byte> a = RandomWeight(pair.first, rows, kFirst, 66);
      const std::vector<std::byte> b = RandomWeight(pair.second, rows, second_columns, 67);
      const std::vector<float> x = RandomRows(kBatch, kFirst, 68);
      const std::vector<float> y = RandomRows(kBatch, second_columns, 69);
      const std::vector<float> bias = RandomRows(1, rows, 70);
      std::vector<float> across_legs;
      for (Leg& leg : CpuLegs()) {
        INFO(leg.name << " " << GetWeightTypeInfo(pair.first).name << " + "
                      << GetWeightTypeInfo(pair.second).name << ", " << rows << " rows");
        Backend* backend = leg.backend.get();
        const auto first = Pack(backend, pair.first, a, {rows, kFirst});
        const auto second = Pack(backend, pair.second, b, {rows, second_columns});
        const std::vector<float> got = MultiplyPair(backend, *first, *second, x, y, &bias);
        const bool own_products = pair.first == WeightType::kBF16 && leg.bf16 != Bf16Products::kWidened;
        if (across_legs.empty()) across_legs = got;
        if (!own_products) CHECK(FirstDifference(got, across_legs) == -1);
        for (int m : {1, 5, 13, 257}) {
          INFO("m = " << m);
          CHECK(FirstDifference(MultiplyPair(backend, *first, *second, RowsOf(x, kFirst, 0, m),
                                             RowsOf(y, second_columns, 0, m), &bias),
                                RowsOf(got, rows, 0, m)) == -1);
        }
        if (floats && !own_products) {
          const auto oracle_first = Pack(reference.get(), pair.first, a, {rows, kFirst});
          const auto oracle_second = Pack(reference.get(), pair.second, b, {rows, second_columns});
          CHECK(FirstDifference(
                    RowsOf(got, rows, 0, 5),
                    MultiplyPair(reference.get(), *oracle_first, *oracle_second, RowsOf(x, kFirst, 0, 5),
                                 RowsOf(y, second_columns, 0, 5), &bias)) == -1);
        }
        // Against the two products apart: the sums differ by rounding alone.
        const std::vector<float> apart_first = Multiply(backend, *first, x);
        const std::vector<float> apart_second = Multiply(backend, *second, y);
        double worst = 0.0, largest = 0.0;
        for (std::size_t i = 0; i < got.size(); ++i) {
          const double sum = static_cast<double>(apart_first[i]) + apart_second[i] + bias[i % rows];
          worst = std::max(worst, std::fabs(got[i] - sum));
          largest = std::max({largest, std::fabs(sum), std::fabs(static_cast<double>(apart_first[i]))});
        }
        CHECK(worst <= 1e-5 * largest);
      }
    }
  }
}

TEST_CASE("accumulation adds once, however many passes there are") {
  constexpr int kBatch = 300;
  const Shape shape{33, 64};
  const std::vector<std::byte> data = RandomWeight(WeightType::kQ4_1, shape.rows, shape.columns, 60);
  const std::vector<float> x = RandomRows(kBatch, shape.columns, 61);
  const std::vector<float> residual = RandomRows(kBatch, shape.rows, 62);
  for (Leg& leg : CpuLegs()) {
    INFO(leg.name);
    const std::unique_ptr<Weight> weight = Pack(leg.backend.get(), WeightType::kQ4_1, data, shape);
    std::vector<float> expected = Multiply(leg.backend.get(), *weight, x);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += residual[i];
    std::vector<float> out = residual;
    MatMulArgs args;
    args.x = View(x, kBatch, shape.columns);
    args.weight = weight.get();
    args.out = View(&out, kBatch, shape.rows);
    args.accumulate = true;
    leg.backend->MatMul(args);
    CHECK(FirstDifference(out, expected) == -1);
  }
}

TEST_CASE("what cannot be packed is refused by name") {
  std::vector<Leg> legs = CpuLegs();
  legs.push_back({"reference", MakeReferenceBackend()});
  const std::vector<std::byte> data(1 << 16);
  for (Leg& leg : legs) {
    INFO(leg.name);
    const auto message = [&](std::vector<WeightSource> sources) {
      const Result<std::unique_ptr<Weight>> weight = leg.backend->Pack(sources);
      REQUIRE(!weight.ok());
      CHECK(weight.status().code() == StatusCode::kInvalidArgument);
      return weight.status().message();
    };
    const std::vector<int> order = {0, 2};
    CHECK_THAT(message({{WeightType::kQ4_0, data.data(), 4, 48, {}}}), Catch::Contains("multiple of 32"));
    CHECK_THAT(message({{WeightType::kQ4_K, data.data(), 4, 96, {}}}), Catch::Contains("multiple of 256"));
    CHECK_THAT(
        message({{WeightType::kF32, data.data(), 4, 8, {}}, {WeightType::kF32, data.data(), 4, 9, {}}}),
        Catch::Contains("8 columns"));
    CHECK_THAT(message({{WeightType::kF32, data.data(), 2, 8, order}}), Catch::Contains("row 2"));
    CHECK_THAT(message({}), Catch::Contains("at least one"));
  }
}

}  // namespace
}  // namespace reprise::test
