// Embed, the norms, GatherRows and AddRows of the CUDA backend.
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "tests/conformance/cuda/cuda_legs.h"
#include "tests/conformance/ops/op_data.h"

namespace reprise::test {
namespace {

TEST_CASE("cuda: embedding rows are the file's values to the bit") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  for (WeightType type : kAllWeightTypes) {
    INFO(GetWeightTypeInfo(type).name);
    const int rows = 38;
    const int columns = GetWeightTypeInfo(type).block_elements == 1 ? 45 : 512;
    const std::vector<std::byte> data = RandomWeight(type, rows, columns, 30);
    // In two parts, so that rows of a second one are looked up too.
    const std::size_t split = *WeightBytes(type, columns) * 20;
    const WeightSource sources[] = {{type, data.data(), 20, columns, {}},
                                    {type, data.data() + split, rows - 20, columns, {}}};
    Result<std::unique_ptr<Weight>> table = backend->Pack(sources);
    REQUIRE(table.ok());
    std::vector<TokenId> ids(rows);
    std::iota(ids.rbegin(), ids.rend(), 0);
    const DeviceRows out(backend.get(), std::vector<float>(static_cast<std::size_t>(rows) * columns, NAN),
                         rows, columns);
    // Some of them known to the device alone.
    const DeviceTokens drawn(backend.get(), {ids[3], ids[30]});
    std::vector<TokenId> known = ids;
    known[3] = -1;
    known[30] = -2;
    BatchView batch;
    batch.token_ids = known;
    batch.drawn = drawn.data();
    backend->Embed(batch, **table, out.view());
    const std::vector<float> all = DequantizeAll(type, data, rows, columns);
    std::vector<float> expected;
    for (TokenId id : ids)
      expected.insert(expected.end(), all.begin() + id * columns, all.begin() + (id + 1) * columns);
    CHECK(FirstDifference(out.Read(), expected) == -1);
  }
}

TEST_CASE("cuda: norms") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  const std::unique_ptr<Backend> reference = MakeReferenceBackend();
  for (int columns : {1, 31, 576, 2048}) {
    INFO(columns << " columns");
    const std::vector<float> x = RandomRows(9, columns, 40);
    const std::vector<float> vectors = RandomRows(2, columns, 41);
    const DeviceRows device_x(backend.get(), x, 9, columns);
    const DeviceRows device_vectors(backend.get(), vectors, 2, columns);
    const DeviceRows out(backend.get(), std::vector<float>(x.size(), NAN), 9, columns);
    std::vector<float> expected(x.size());
    for (bool weighted : {true, false}) {
      const RmsNormSpec host{weighted ? vectors.data() : nullptr, 1e-5f, columns + 2};
      reference->RmsNorm(View(x, 9, columns), host, View(&expected, 9, columns));
      backend->RmsNorm(device_x, {weighted ? device_vectors.data() : nullptr, 1e-5f, columns + 2},
                       out.view());
      const std::vector<float> got = out.Read();
      for (std::size_t i = 0; i < got.size(); ++i) {
        // The mean of n squares carries at most n roundings, half of which survive the square root.
        REQUIRE(std::fabs(got[i] - expected[i]) <=
                (columns + 8) * std::ldexp(1.0, -24) * std::fabs(expected[i]));
      }
    }
    reference->LayerNorm(View(x, 9, columns), {vectors.data(), vectors.data() + columns, 1e-5f},
                         View(&expected, 9, columns));
    backend->LayerNorm(device_x, {device_vectors.data(), device_vectors.data() + columns, 1e-5f}, out.view());
    const std::vector<float> got = out.Read();
    for (int t = 0; t < 9; ++t) {
      double mean = 0.0, variance = 0.0, largest = 0.0;
      const float* row = x.data() + static_cast<std::ptrdiff_t>(t) * columns;
      for (int k = 0; k < columns; ++k) mean += row[k] / static_cast<double>(columns);
      for (int k = 0; k < columns; ++k) {
        variance += (row[k] - mean) * (row[k] - mean) / columns;
        largest = std::max<double>(largest, std::fabs(row[k]));
      }
      for (int k = 0; k < columns; ++k) {
        // Two orders of summation: the mean carries up to n roundings of the largest element each.
        const double scaled = largest / std::sqrt(variance + 1e-5) * std::fabs(vectors[k]);
        const std::size_t i = static_cast<std::size_t>(t) * columns + k;
        const double bound =
            4 * (columns + 8) * std::ldexp(1.0, -24) * (scaled + std::fabs(expected[i])) + 2e-7;
        REQUIRE(std::fabs(got[i] - expected[i]) <= bound);
      }
    }
  }
}

TEST_CASE("cuda: scattered rows leave the others as they were") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  const std::vector<float> x = RandomRows(5, 300, 53);
  const std::vector<float> before = RandomRows(50, 320, 54);
  const std::vector<int> rows = {3, 30, 49, 0, 20};
  std::vector<float> expected = before;
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(i) * 300, 300, expected.begin() + rows[i] * 320);
  const DeviceRows device_x(backend.get(), x, 5, 300);
  const DeviceRows out(backend.get(), before, 50, 320);
  MatrixView narrow = out.view();
  narrow.columns = 300;
  backend->ScatterRows(device_x, rows, narrow);
  CHECK(FirstDifference(out.Read(), expected) == -1);
}

TEST_CASE("cuda: gathered and added rows") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  const std::vector<float> x = RandomRows(50, 300, 50);
  const std::vector<float> before = RandomRows(5, 300, 52);
  const std::vector<int> rows = {3, 3, 49, 0, 20};
  std::vector<float> gathered, added = before;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    gathered.insert(gathered.end(), x.begin() + rows[i] * 300, x.begin() + (rows[i] + 1) * 300);
    for (int k = 0; k < 300; ++k) added[i * 300 + k] += x[rows[i] * 300 + k];
  }
  const DeviceRows device_x(backend.get(), x, 50, 300);
  const DeviceRows out(backend.get(), before, 5, 300);
  backend->AddRows(device_x, rows, out.view());
  CHECK(FirstDifference(out.Read(), added) == -1);
  backend->GatherRows(device_x, rows, out.view());
  CHECK(FirstDifference(out.Read(), gathered) == -1);
  const ConstMatrixView on_host = backend->ToHost(out.view());
  CHECK(on_host.rows == 5);
  CHECK(std::equal(gathered.begin() + 300, gathered.begin() + 600, on_host.row(1)));
}

}  // namespace
}  // namespace reprise::test
