// The row kernels of each leg where the conformance tests, which run whole ops, do not reach.
#include "kernels/cpu/kernel_table.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/cpu_isa.h"

namespace reprise {
namespace {

std::vector<const KernelTable*> Tables() {
  std::vector<const KernelTable*> tables;
  for (const std::string& isa : AvailableCpuIsas()) {
    Result<const KernelTable*> table = SelectKernels(isa);
    REQUIRE(table.ok());
    tables.push_back(*table);
  }
  REQUIRE(!tables.empty());
  return tables;
}

TEST_CASE("silu is accurate over its whole range") {
  for (const KernelTable* table : Tables()) {
    INFO(table->name);
    for (float x = -80.0f; x < 80.0f; x += 0.37f) {
      const float up = 1.5f;
      float got;
      table->silu_mul(&x, &up, 1, &got);
      const double exact = static_cast<double>(x) / (1.0 + std::exp(-static_cast<double>(x))) * up;
      REQUIRE(std::fabs(got - exact) <= 8 * std::ldexp(1.0, -24) * std::fabs(exact));
    }
  }
}

TEST_CASE("silu of extremes") {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const KernelTable* table : Tables()) {
    INFO(table->name);
    const float gate[] = {0.0f, 1000.0f, -1000.0f, infinity, std::nanf("")};
    const float up[] = {2.0f, 1.0f, 1.0f, 1.0f, 1.0f};
    float out[5];
    table->silu_mul(gate, up, 5, out);
    CHECK(out[0] == 0.0f);
    CHECK(out[1] == 1000.0f);
    CHECK(std::fabs(out[2]) < 1e-30f);
    CHECK(out[3] == infinity);
    CHECK(std::isnan(out[4]));
  }
}

TEST_CASE("rows that end within a vector leave their neighbours alone") {
  for (const KernelTable* table : Tables()) {
    for (int columns = 1; columns <= 33; ++columns) {
      INFO(table->name << ", " << columns << " columns");
      const std::vector<float> x(columns, 2.0f);
      std::vector<float> out(columns + 16, -7.0f);
      table->rms_norm({x.data(), nullptr, out.data(), columns, columns, 0.0f});
      for (int k = 0; k < columns; ++k) REQUIRE(out[k] == 1.0f);
      for (std::size_t k = columns; k < out.size(); ++k) REQUIRE(out[k] == -7.0f);

      const std::vector<float> sums(32, 3.0f), bias(32, 0.5f);
      out.assign(64, 1.0f);
      const int written = columns <= 32 ? columns : 32;
      table->write_sums({sums.data(), 1, written, bias.data(), true, out.data(), 64});
      for (int n = 0; n < 64; ++n) REQUIRE(out[n] == (n < written ? 4.5f : 1.0f));
    }
  }
}

// Scale of a row quantised to a panel of one.
float PanelScale(const KernelTable& table, const std::vector<float>& x) {
  std::vector<std::byte> panel(40);
  table.write_panel_row({panel.data(), 1, 0, ActivationKind::kOffset, 8}, x.data(), 1);
  float scale;
  std::memcpy(&scale, panel.data() + 32, sizeof(scale));
  return scale;
}

TEST_CASE("quantised activations: not-a-number shows, next to nothing is nothing") {
  for (const KernelTable* table : Tables()) {
    INFO(table->name);
    std::vector<float> x(32, 0.0f);
    CHECK(PanelScale(*table, x) == 0.0f);
    x[9] = 1e-35f;
    CHECK(PanelScale(*table, x) == 0.0f);
    x[9] = -254.0f;
    CHECK(PanelScale(*table, x) == 2.0f);
    for (float& value : x) value = std::nanf("");
    CHECK(std::isnan(PanelScale(*table, x)));
  }
}

}  // namespace
}  // namespace reprise
