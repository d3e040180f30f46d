// MatMul of the CUDA backend: every weight type against exact sums, the bits of a row in any batch,
// prologues, stacked weights, second products. Bounds: docs/cuda.md.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include "tests/conformance/cuda/cuda_legs.h"
#include "tests/conformance/ops/op_data.h"

namespace reprise::test {
namespace {

// With remainders in row tiles and segments, and longer than one turn of a block's warps.
const WeightShapes kShapes = {
    {{1, 1}, {5, 7}, {33, 300}}, {{1, 32}, {33, 96}, {20, 1120}}, {{1, 256}, {33, 512}, {20, 1280}}};

// The product of m rows; `adjust` may ask for more than that.
std::vector<float> Multiply(
    Backend* backend, const Weight& weight, const std::vector<float>& x,
    const std::vector<float>& out_before = {},
    const std::function<void(MatMulArgs*)>& adjust = [](MatMulArgs*) {}, int inputs_per_column = 1) {
  const int inputs = weight.columns() * inputs_per_column;
  const int m = static_cast<int>(x.size()) / inputs;
  const std::size_t size = static_cast<std::size_t>(m) * weight.rows();
  const DeviceRows input(backend, x, m, inputs);
  const DeviceRows out(backend, out_before.empty() ? std::vector<float>(size, NAN) : out_before, m,
                       weight.rows());
  MatMulArgs args;
  args.x = input;
  args.weight = &weight;
  args.out = out.view();
  adjust(&args);
  backend->MatMul(args);
  return out.Read();
}

std::vector<float> RowsOf(const std::vector<float>& x, int columns, int first, int count) {
  return {x.begin() + static_cast<std::ptrdiff_t>(first) * columns,
          x.begin() + static_cast<std::ptrdiff_t>(first + count) * columns};
}

// The exact product of one element, and how far the backend may be from it: activations are good to 2^-17,
// and every sum of at most `columns` terms rounds like a float's, truncated (docs/cuda.md).
struct Exact {
  double value = 0.0;
  double bound = 1e-30;
};
Exact ExactProduct(const float* x, const float* w, int columns) {
  Exact exact;
  double size = 0.0;
  for (int k = 0; k < columns; ++k) {
    const double term = static_cast<double>(x[k]) * w[k];
    exact.value += term;
    size += std::fabs(term);
  }
  exact.bound += size * (std::ldexp(1.0, -17) + (columns + 16) * std::ldexp(1.0, -23));
  return exact;
}

// An affine code's minimum is multiplied with the sum of a group's activations: sums of codes times scale and
// of minima may be larger than what they add up to.
double AffineSize(WeightType type) {
  const bool affine = type == WeightType::kQ4_1 || type == WeightType::kQ5_1 || type == WeightType::kQ4_K ||
                      type == WeightType::kQ5_K;
  return affine ? 16.0 : 1.0;
}

TEST_CASE("cuda: products are exact but for rounding") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  for (WeightType type : kAllWeightTypes) {
    for (Shape shape : kShapes.Of(type)) {
      const std::vector<std::byte> data = RandomWeight(type, shape.rows, shape.columns, 1);
      const std::vector<float> w = DequantizeAll(type, data, shape.rows, shape.columns);
      const std::unique_ptr<Weight> weight = Pack(backend.get(), type, data, shape);
      const std::vector<float> x = RandomRows(9, shape.columns, 2);
      for (int m : {1, 3, 9}) {
        INFO(GetWeightTypeInfo(type).name << " " << shape.rows << " x " << shape.columns << ", m = " << m);
        const std::vector<float> got = Multiply(backend.get(), *weight, RowsOf(x, shape.columns, 0, m));
        int outside = 0;
        for (int t = 0; t < m; ++t) {
          for (int n = 0; n < shape.rows; ++n) {
            const Exact exact =
                ExactProduct(x.data() + t * shape.columns, w.data() + n * shape.columns, shape.columns);
            const double error = std::fabs(got[static_cast<std::size_t>(t) * shape.rows + n] - exact.value);
            if (!(error <= AffineSize(type) * exact.bound)) ++outside;
          }
        }
        CHECK(outside == 0);
      }
    }
  }
}

TEST_CASE("cuda: a row's bits do not depend on the batch, up to 32 rows") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  for (WeightType type : {WeightType::kF32, WeightType::kBF16, WeightType::kQ4_1, WeightType::kQ6_K}) {
    INFO(GetWeightTypeInfo(type).name);
    const Shape shape{40, 512};
    const std::vector<std::byte> data = RandomWeight(type, shape.rows, shape.columns, 7);
    const std::unique_ptr<Weight> weight = Pack(backend.get(), type, data, shape);
    const std::vector<float> x = RandomRows(32, shape.columns, 8);
    std::vector<float> one_by_one;
    for (int t = 0; t < 32; ++t) {
      const std::vector<float> out = Multiply(backend.get(), *weight, RowsOf(x, shape.columns, t, 1));
      one_by_one.insert(one_by_one.end(), out.begin(), out.end());
    }
    for (int m : {2, 4, 5, 8, 11, 16, 23, 32}) {
      INFO("m = " << m);
      CHECK(FirstDifference(Multiply(backend.get(), *weight, RowsOf(x, shape.columns, 0, m)),
                            RowsOf(one_by_one, shape.rows, 0, m)) == -1);
    }
  }
}

TEST_CASE("cuda: many rows are the same product, up to bf16") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  for (WeightType type : {WeightType::kF32, WeightType::kBF16, WeightType::kF16, WeightType::kQ4_K}) {
    INFO(GetWeightTypeInfo(type).name);
    const Shape shape{33, 256};
    const std::vector<std::byte> data = RandomWeight(type, shape.rows, shape.columns, 60);
    const std::vector<float> w = DequantizeAll(type, data, shape.rows, shape.columns);
    const std::unique_ptr<Weight> weight = Pack(backend.get(), type, data, shape);
    const int m = 70;
    const std::vector<float> x = RandomRows(m, shape.columns, 61);
    const std::vector<float> residual = RandomRows(m, shape.rows, 62);
    const std::vector<float> bias = RandomRows(1, shape.rows, 63);
    const DeviceRows device_bias(backend.get(), bias, 1, shape.rows);
    const std::vector<float> got = Multiply(backend.get(), *weight, x, residual, [&](MatMulArgs* args) {
      args->bias = device_bias.data();
      args->accumulate = true;
    });
    int outside = 0;
    for (int t = 0; t < m; ++t) {
      for (int n = 0; n < shape.rows; ++n) {
        const Exact exact =
            ExactProduct(x.data() + t * shape.columns, w.data() + n * shape.columns, shape.columns);
        double size = 1e-6;
        for (int k = 0; k < shape.columns; ++k)
          size += std::fabs(static_cast<double>(x[t * shape.columns + k]) * w[n * shape.columns + k]);
        const std::size_t i = static_cast<std::size_t>(t) * shape.rows + n;
        // cuBLASLt multiplies activations and expanded weights that are rounded to bf16 once.
        const double error = std::fabs(got[i] - (residual[i] + exact.value + bias[n]));
        if (!(error <= std::ldexp(size, -7))) ++outside;
      }
    }
    CHECK(outside == 0);
  }
}

TEST_CASE("cuda: stacked sources of different types, with a row order") {
  constexpr int kColumns = 512;
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  const WeightType types[] = {WeightType::kQ4_K, WeightType::kQ6_K, WeightType::kF32, WeightType::kBF16};
  const int rows[] = {48, 20, 33, 3};
  std::vector<int> order(48);
  for (int i = 0; i < 48; ++i) order[i] = (i * 7) % 48;
  const std::vector<float> x = RandomRows(9, kColumns, 9);
  std::vector<std::vector<std::byte>> data;
  std::vector<WeightSource> sources;
  std::vector<std::vector<float>> separate;
  for (int i = 0; i < 4; ++i) {
    data.push_back(RandomWeight(types[i], rows[i], kColumns, 10 + i));
    sources.push_back({types[i], data.back().data(), rows[i], kColumns, {}});
    separate.push_back(
        Multiply(backend.get(), *Pack(backend.get(), types[i], data[i], {rows[i], kColumns}), x));
  }
  sources[0].row_order = order;
  Result<std::unique_ptr<Weight>> stacked = backend->Pack(sources);
  REQUIRE(stacked.ok());
  CHECK((*stacked)->rows() == 104);
  CHECK((*stacked)->form() == "q4+q8+f32+bf16");
  const std::vector<float> out = Multiply(backend.get(), **stacked, x);
  std::vector<float> expected;
  for (int t = 0; t < 9; ++t) {
    for (int i = 0; i < 4; ++i) {
      for (int n = 0; n < rows[i]; ++n)
        expected.push_back(separate[i][t * rows[i] + (i == 0 ? order[n] : n)]);
    }
  }
  CHECK(FirstDifference(out, expected) == -1);
}

// prologue(x) of one element in double precision; `up` is the other half's element of a gated one.
double Activated(Prologue prologue, double x, double up) {
  if (prologue == Prologue::kSiluMul) return x / (1.0 + std::exp(-x)) * up;
  if (prologue == Prologue::kRelu) return std::max(x, 0.0);
  return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
}

TEST_CASE("cuda: activations before a product") {
  constexpr int kBatch = 9;
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  for (WeightType type : {WeightType::kF32, WeightType::kBF16}) {
    const Shape shape{33, 77};
    const std::vector<std::byte> data = RandomWeight(type, shape.rows, shape.columns, 63);
    const std::vector<float> w = DequantizeAll(type, data, shape.rows, shape.columns);
    const std::unique_ptr<Weight> weight = Pack(backend.get(), type, data, shape);
    for (Prologue prologue : {Prologue::kSiluMul, Prologue::kRelu, Prologue::kGeluTanh}) {
      INFO(GetWeightTypeInfo(type).name << ", prologue " << static_cast<int>(prologue));
      const int inputs = prologue == Prologue::kSiluMul ? 2 : 1;
      const std::vector<float> x = RandomRows(kBatch, inputs * shape.columns, 64);
      const std::vector<float> got = Multiply(
          backend.get(), *weight, x, {}, [&](MatMulArgs* args) { args->prologue = prologue; }, inputs);
      for (int t = 0; t < kBatch; ++t) {
        std::vector<float> input(shape.columns);
        const float* row = x.data() + t * inputs * shape.columns;
        for (int k = 0; k < shape.columns; ++k)
          input[k] = static_cast<float>(Activated(prologue, row[k], row[(inputs - 1) * shape.columns + k]));
        for (int n = 0; n < shape.rows; ++n) {
          const Exact exact = ExactProduct(input.data(), w.data() + n * shape.columns, shape.columns);
          REQUIRE(std::fabs(got[t * shape.rows + n] - exact.value) <= 2 * exact.bound + 1e-6);
        }
      }
    }
  }
}

TEST_CASE("cuda: a fused norm is the norm and then the product") {
  constexpr int kBatch = 9;
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  const Shape shape{70, 224};
  const std::vector<std::byte> data = RandomWeight(WeightType::kQ8_0, shape.rows, shape.columns, 20);
  const std::unique_ptr<Weight> weight = Pack(backend.get(), WeightType::kQ8_0, data, shape);
  const std::vector<float> x = RandomRows(kBatch, shape.columns, 25);
  const std::vector<float> residual = RandomRows(kBatch, shape.rows, 23);
  const DeviceRows norm(backend.get(), RandomRows(2, shape.columns, 21), 2, shape.columns);
  const std::vector<float> bias = RandomRows(1, shape.rows, 22);
  const DeviceRows device_bias(backend.get(), bias, 1, shape.rows);
  const RmsNormSpec rms = {norm.data(), 1e-5f, shape.columns - 3};
  const LayerNormSpec layer = {norm.data(), norm.data() + shape.columns, 1e-5f};
  for (Prologue prologue : {Prologue::kRmsNorm, Prologue::kLayerNorm}) {
    INFO("prologue " << static_cast<int>(prologue));
    const std::vector<float> got = Multiply(backend.get(), *weight, x, residual, [&](MatMulArgs* args) {
      args->prologue = prologue;
      args->norm = rms;
      args->layer_norm = layer;
      args->bias = device_bias.data();
      args->accumulate = true;
    });
    const DeviceRows input(backend.get(), x, kBatch, shape.columns);
    const DeviceRows normed(backend.get(), x, kBatch, shape.columns);
    if (prologue == Prologue::kRmsNorm) {
      backend->RmsNorm(input, rms, normed.view());
    } else {
      backend->LayerNorm(input, layer, normed.view());
    }
    std::vector<float> expected = Multiply(backend.get(), *weight, normed.Read());
    for (std::size_t i = 0; i < expected.size(); ++i)
      expected[i] = residual[i] + (expected[i] + bias[i % shape.rows]);
    CHECK(FirstDifference(got, expected) == -1);
  }
}

TEST_CASE("cuda: a second product is summed with the first") {
  constexpr int kBatch = 5;
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  const Shape first{33, 256};
  const Shape second{33, 45};
  const std::vector<std::byte> a = RandomWeight(WeightType::kQ4_0, first.rows, first.columns, 66);
  const std::vector<std::byte> b = RandomWeight(WeightType::kBF16, second.rows, second.columns, 67);
  const std::vector<float> wa = DequantizeAll(WeightType::kQ4_0, a, first.rows, first.columns);
  const std::vector<float> wb = DequantizeAll(WeightType::kBF16, b, second.rows, second.columns);
  const std::vector<float> x = RandomRows(kBatch, first.columns, 68);
  const std::vector<float> y = RandomRows(kBatch, second.columns, 69);
  const std::unique_ptr<Weight> packed_a = Pack(backend.get(), WeightType::kQ4_0, a, first);
  const std::unique_ptr<Weight> packed_b = Pack(backend.get(), WeightType::kBF16, b, second);
  const DeviceRows device_y(backend.get(), y, kBatch, second.columns);
  const std::vector<float> bias = RandomRows(1, first.rows, 70);
  const DeviceRows device_bias(backend.get(), bias, 1, first.rows);
  const std::vector<float> got = Multiply(backend.get(), *packed_a, x, {}, [&](MatMulArgs* args) {
    args->second = {device_y, packed_b.get()};
    args->bias = device_bias.data();
  });
  for (int t = 0; t < kBatch; ++t) {
    for (int n = 0; n < first.rows; ++n) {
      const Exact one =
          ExactProduct(x.data() + t * first.columns, wa.data() + n * first.columns, first.columns);
      const Exact two =
          ExactProduct(y.data() + t * second.columns, wb.data() + n * second.columns, second.columns);
      REQUIRE(std::fabs(got[t * first.rows + n] - (one.value + two.value + bias[n])) <=
              one.bound + two.bound + 1e-6);
    }
  }
}

TEST_CASE("cuda: what cannot be packed is refused by name") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  const std::vector<std::byte> data(1 << 12);
  const WeightSource source{WeightType::kQ4_0, data.data(), 4, 48, {}};
  const Result<std::unique_ptr<Weight>> weight = backend->Pack({&source, 1});
  REQUIRE(!weight.ok());
  CHECK(weight.status().code() == StatusCode::kInvalidArgument);
  CHECK_THAT(weight.status().message(), Catch::Contains("multiple of 32"));
}

}  // namespace
}  // namespace reprise::test
