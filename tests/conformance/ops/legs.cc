#include "tests/conformance/ops/legs.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <utility>

#include "kernels/cpu/cpu_backend.h"
#include "tests/conformance/ops/emulated_tiles.h"

namespace reprise::test {
namespace {

Bf16Products ProductsOf(const std::string& isa) {
  if (isa == "amx") return Bf16Products::kTiles;
  return isa == "avx512-bf16" ? Bf16Products::kPairs : Bf16Products::kWidened;
}

}  // namespace

std::vector<Leg> CpuLegs(int num_threads) {
  const std::vector<std::string> isas = AvailableCpuIsas();
  std::vector<Leg> legs;
  for (const std::string& isa : isas) {
    CpuBackendOptions options;
    options.num_threads = num_threads;
    options.isa = isa;
    Result<std::unique_ptr<Backend>> backend = MakeCpuBackend(options);
    REQUIRE(backend.ok());
    legs.push_back({isa, std::move(*backend), ProductsOf(isa)});
  }
  if (std::find(isas.begin(), isas.end(), "avx512-vnni") != isas.end())
    legs.push_back(
        {"amx-emulated", MakeCpuBackendOn(EmulatedAmxKernels(), num_threads), Bf16Products::kTiles});
  static const bool printed = [&] {
    std::string names;
    for (const Leg& leg : legs) names += " " + leg.name;
    std::printf("legs:%s\n", names.c_str());
    return true;
  }();
  REQUIRE(printed);
  REQUIRE(!legs.empty());
  return legs;
}

std::vector<Leg> AttentionLegs(int num_threads) {
  return CpuLegs(num_threads);
}
std::vector<int> ThreadCounts() {
  return {1, 3};
}
std::vector<SceneShape> AttentionShapes() {
  return {{9, 3, 64, 16, KvType::kBF16, 0, false},   {4, 4, 64, 32, KvType::kF32, 0, false},
          {8, 1, 128, 16, KvType::kBF16, 0, false},  {4, 2, 80, 16, KvType::kF32, 0, true},
          {2, 1, 72, 48, KvType::kBF16, 0, false},   {7, 1, 2, 16, KvType::kF32, 0, false},
          {4, 2, 24, 16, KvType::kBF16, 0, true},    {6, 2, 64, 16, KvType::kBF16, 100, false},
          {3, 3, 32, 16, KvType::kF32, 300, false},  {9, 3, 64, 16, KvType::kInt8, 0, false},
          {2, 1, 72, 48, KvType::kInt8, 100, false}, {7, 1, 2, 32, KvType::kInt8, 0, false},
          {4, 2, 24, 16, KvType::kInt8, 0, true}};
}

}  // namespace reprise::test
