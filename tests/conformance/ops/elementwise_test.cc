// Embed, RmsNorm and GatherRows on every leg, and the choice of a leg.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>

#include "tests/conformance/ops/legs.h"
#include "tests/conformance/ops/op_data.h"

namespace reprise::test {
namespace {

TEST_CASE("embedding rows are the file's values to the bit") {
  std::vector<Leg> legs = CpuLegs();
  legs.push_back({"reference", MakeReferenceBackend()});
  for (Leg& leg : legs) {
    for (WeightType type : kAllWeightTypes) {
      INFO(leg.name << " " << GetWeightTypeInfo(type).name);
      const int rows = 70;
      const int columns = GetWeightTypeInfo(type).block_elements == 1 ? 45 : 512;
      const std::vector<std::byte> data = RandomWeight(type, rows, columns, 30);
      const WeightSource source{type, data.data(), rows, columns, {}};
      Result<std::unique_ptr<Weight>> table = leg.backend->Pack({&source, 1});
      REQUIRE(table.ok());
      std::vector<TokenId> ids(rows);
      std::iota(ids.rbegin(), ids.rend(), 0);
      std::vector<float> out(static_cast<std::size_t>(rows) * columns);
      BatchView batch;
      batch.token_ids = ids;
      leg.backend->Embed(batch, **table, View(&out, rows, columns));
      const std::vector<float> all = DequantizeAll(type, data, rows, columns);
      std::vector<float> expected;
      for (TokenId id : ids)
        expected.insert(expected.end(), all.begin() + id * columns, all.begin() + (id + 1) * columns);
      CHECK(FirstDifference(out, expected) == -1);
    }
  }
}

TEST_CASE("packed quantised weights take what the file takes") {
  for (Leg& leg : CpuLegs()) {
    for (WeightType type : kAllWeightTypes) {
      const std::vector<std::byte> data = RandomWeight(type, 64, 512, 31);
      const WeightSource source{type, data.data(), 64, 512, {}};
      Result<std::unique_ptr<Weight>> weight = leg.backend->Pack({&source, 1});
      REQUIRE(weight.ok());
      INFO(leg.name << " " << (*weight)->form());
      const double ratio = static_cast<double>((*weight)->bytes()) / static_cast<double>(data.size());
      if (leg.name == "avx2")
        std::printf("packed %s: %.3f of the file\n", std::string((*weight)->form()).c_str(), ratio);
      CHECK(ratio <= 1.03);
    }
  }
}

TEST_CASE("rms norm") {
  std::vector<Leg> legs = CpuLegs();
  const std::unique_ptr<Backend> reference = MakeReferenceBackend();
  for (int columns : {1, 16, 31, 576, 2048}) {
    const std::vector<float> x = RandomRows(9, columns, 40);
    const std::vector<float> weight = RandomRows(1, columns, 41);
    for (const float* w : {weight.data(), static_cast<const float*>(nullptr)}) {
      const RmsNormSpec spec{w, 1e-5f, columns + 2};
      std::vector<float> expected(x.size()), first;
      reference->RmsNorm(View(x, 9, columns), spec, View(&expected, 9, columns));
      for (Leg& leg : legs) {
        INFO(leg.name << ", " << columns << " columns");
        std::vector<float> out(x.size());
        leg.backend->RmsNorm(View(x, 9, columns), spec, View(&out, 9, columns));
        if (first.empty()) first = out;
        CHECK(FirstDifference(out, first) == -1);
        for (std::size_t i = 0; i < out.size(); ++i) {
          // The mean of n squares carries at most n roundings, half of which survive the square root.
          const double bound = (columns + 8) * std::ldexp(1.0, -24) * std::fabs(expected[i]);
          REQUIRE(std::fabs(out[i] - expected[i]) <= bound);
        }
      }
    }
  }
}

TEST_CASE("layer norm") {
  std::vector<Leg> legs = CpuLegs();
  legs.push_back({"reference", MakeReferenceBackend()});
  for (int columns : {1, 16, 31, 576, 2048}) {
    const std::vector<float> x = RandomRows(9, columns, 42);
    const std::vector<float> weight = RandomRows(1, columns, 43);
    const std::vector<float> bias = RandomRows(1, columns, 44);
    const LayerNormSpec spec{weight.data(), bias.data(), 1e-5f};
    std::vector<float> first;
    for (Leg& leg : legs) {
      INFO(leg.name << ", " << columns << " columns");
      std::vector<float> out(x.size());
      leg.backend->LayerNorm(View(x, 9, columns), spec, View(&out, 9, columns));
      if (first.empty()) first = out;
      if (leg.name != "reference") CHECK(FirstDifference(out, first) == -1);
      for (int t = 0; t < 9; ++t) {
        double mean = 0.0, variance = 0.0, largest = 0.0;
        const float* row = x.data() + static_cast<std::ptrdiff_t>(t) * columns;
        for (int k = 0; k < columns; ++k) mean += row[k] / static_cast<double>(columns);
        for (int k = 0; k < columns; ++k) {
          variance += (row[k] - mean) * (row[k] - mean) / columns;
          largest = std::max<double>(largest, std::fabs(row[k]));
        }
        const double scale = 1.0 / std::sqrt(variance + 1e-5);
        for (int k = 0; k < columns; ++k) {
          const double exact = (row[k] - mean) * scale * weight[k] + bias[k];
          // The mean carries up to n roundings of the largest element, which the scale magnifies.
          const double rounding = (columns + 8) * std::ldexp(1.0, -24);
          const double bound =
              2 * rounding * (largest * scale * std::fabs(weight[k]) + std::fabs(exact)) + 1e-7;
          REQUIRE(std::fabs(out[static_cast<std::size_t>(t) * columns + k] - exact) <= bound);
        }
      }
    }
  }
}

TEST_CASE("added rows") {
  std::vector<Leg> legs = CpuLegs();
  legs.push_back({"reference", MakeReferenceBackend()});
  const std::vector<float> table = RandomRows(50, 45, 51);
  const std::vector<float> residual = RandomRows(5, 45, 52);
  const std::vector<int> rows = {3, 3, 49, 0, 20};
  std::vector<float> expected = residual;
  for (int t = 0; t < 5; ++t) {
    for (int k = 0; k < 45; ++k) expected[t * 45 + k] += table[rows[t] * 45 + k];
  }
  for (Leg& leg : legs) {
    INFO(leg.name);
    std::vector<float> out = residual;
    leg.backend->AddRows(View(table, 50, 45), rows, View(&out, 5, 45));
    CHECK(FirstDifference(out, expected) == -1);
  }
}

TEST_CASE("scattered rows leave the others as they were") {
  std::vector<Leg> legs = CpuLegs();
  legs.push_back({"reference", MakeReferenceBackend()});
  const std::vector<float> x = RandomRows(5, 300, 53);
  const std::vector<float> before = RandomRows(50, 300, 54);
  const std::vector<int> rows = {3, 30, 49, 0, 20};
  std::vector<float> expected = before;
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(i) * 300, 300, expected.begin() + rows[i] * 300);
  for (Leg& leg : legs) {
    std::vector<float> out = before;
    leg.backend->ScatterRows(View(x, 5, 300), rows, View(&out, 50, 300));
    INFO(leg.name);
    CHECK(FirstDifference(out, expected) == -1);
  }
}

TEST_CASE("gathered rows") {
  std::vector<Leg> legs = CpuLegs();
  legs.push_back({"reference", MakeReferenceBackend()});
  const std::vector<float> x = RandomRows(50, 300, 50);
  const std::vector<int> rows = {3, 3, 49, 0, 20};
  for (Leg& leg : legs) {
    std::vector<float> out(5 * 300), expected;
    leg.backend->GatherRows(View(x, 50, 300), rows, View(&out, 5, 300));
    for (int row : rows) expected.insert(expected.end(), x.begin() + row * 300, x.begin() + (row + 1) * 300);
    INFO(leg.name);
    CHECK(FirstDifference(out, expected) == -1);
  }
}

TEST_CASE("an instruction set can be forced, and is refused by name") {
  const std::vector<std::string> isas = AvailableCpuIsas();
  REQUIRE(!isas.empty());
  CpuBackendOptions options;
  options.num_threads = 1;
  for (const std::string& isa : isas) {
    options.isa = isa;
    Result<std::unique_ptr<Backend>> backend = MakeCpuBackend(options);
    REQUIRE(backend.ok());
    CHECK((*backend)->name() == "cpu/" + isa);
  }
  options.isa = "sse9";
  Result<std::unique_ptr<Backend>> unknown = MakeCpuBackend(options);
  REQUIRE(!unknown.ok());
  CHECK(unknown.status().code() == StatusCode::kInvalidArgument);
  CHECK_THAT(unknown.status().message(), Catch::Contains("avx2, avx512-vnni, avx512-bf16, amx"));
  if (isas.back() != "amx") {
    options.isa = "amx";
    Result<std::unique_ptr<Backend>> lacking = MakeCpuBackend(options);
    REQUIRE(!lacking.ok());
    CHECK(lacking.status().code() == StatusCode::kFailedPrecondition);
  }

  // The environment decides only where the option is empty.
  setenv("REPRISE_ISA", "sse9", 1);
  options.isa = "";
  CHECK(!MakeCpuBackend(options).ok());
  options.isa = isas[0];
  CHECK(MakeCpuBackend(options).ok());
  setenv("REPRISE_ISA", isas[0].c_str(), 1);
  options.isa = "";
  Result<std::unique_ptr<Backend>> forced = MakeCpuBackend(options);
  REQUIRE(forced.ok());
  CHECK((*forced)->name() == "cpu/" + isas[0]);
  unsetenv("REPRISE_ISA");
}

}  // namespace
}  // namespace reprise::test
