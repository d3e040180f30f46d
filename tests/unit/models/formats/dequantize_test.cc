// Against what the `gguf` package makes of the same blocks (tools/golden/make_dequantize_goldens.py).
#include <catch2/catch.hpp>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/weight_type.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise {
namespace {

TEST_CASE("Dequantize agrees with gguf to the bit") {
  const int index = GENERATE(range(0, kNumWeightTypes));
  const auto type = static_cast<WeightType>(index);
  const std::string name(GetWeightTypeInfo(type).name);
  INFO(name);
  const std::string blocks = ReadWholeFile("tests/data/formats/dequantize/" + name + ".blocks");
  const std::string expected = ReadWholeFile("tests/data/formats/dequantize/" + name + ".f32");
  const auto elements = static_cast<std::int64_t>(expected.size() / sizeof(float));
  REQUIRE(elements == 1024);
  REQUIRE(WeightBytes(type, elements) == blocks.size());
  // One byte off: blocks may lie at any address.
  std::vector<std::byte> source(blocks.size() + 1);
  std::memcpy(source.data() + 1, blocks.data(), blocks.size());
  std::vector<float> values(static_cast<std::size_t>(elements));
  Dequantize(type, source.data() + 1, elements, values.data());
  for (std::size_t i = 0; i < values.size(); ++i) {
    float want;
    std::memcpy(&want, expected.data() + i * sizeof(float), sizeof(float));
    INFO("element " << i << ": " << values[i] << ", expected " << want);
    REQUIRE(std::memcmp(&values[i], &want, sizeof(float)) == 0);
  }
}

TEST_CASE("WeightBytes refuses what is not whole blocks or does not fit") {
  CHECK(WeightBytes(WeightType::kQ4_0, 64) == 36u);
  CHECK(WeightBytes(WeightType::kQ4_0, 48) == std::nullopt);
  CHECK(WeightBytes(WeightType::kQ6_K, 512) == 420u);
  CHECK(WeightBytes(WeightType::kQ6_K, 32) == std::nullopt);
  CHECK(WeightBytes(WeightType::kF32, 0) == 0u);
  CHECK(WeightBytes(WeightType::kF32, -1) == std::nullopt);
  CHECK(WeightBytes(WeightType::kF32, std::numeric_limits<std::int64_t>::max()) == std::nullopt);
}

}  // namespace
}  // namespace reprise
