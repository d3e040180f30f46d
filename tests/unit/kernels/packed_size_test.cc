// What packing costs in memory: a decoding step reads every packed byte.
#include <catch2/catch.hpp>
#include <cstdio>

#include "kernels/cpu/tile_pack.h"
#include "kernels/weight_type.h"

namespace reprise {
namespace {

TEST_CASE("no type takes more than 1.05 times its file's bytes when packed") {
  constexpr int kColumns = 2048;
  for (int t = 0; t < kNumWeightTypes; ++t) {
    const auto type = static_cast<WeightType>(t);
    const auto file = static_cast<double>(kTileRows * *WeightBytes(type, kColumns));
    const double ratio = static_cast<double>(GroupBytes(type, kColumns)) / file;
    const std::string name(GetWeightTypeInfo(type).name);
    std::printf("packed %-5s %.3f of the file\n", name.c_str(), ratio);
    INFO(name);
    CHECK(ratio >= 1.0);
    CHECK(ratio <= 1.05);
  }
}

}  // namespace
}  // namespace reprise
