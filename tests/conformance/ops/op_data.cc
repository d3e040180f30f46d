#include "tests/conformance/ops/op_data.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cstring>
#include <utility>

#include "base/float_types.h"

namespace reprise::test {
namespace {

// Byte offsets of the fp16 scales of a block; -1: none.
struct ScaleOffsets {
  int d = -1;
  int m = -1;
};
ScaleOffsets OffsetsOf(WeightType type) {
  switch (type) {
    case WeightType::kQ4_0:
    case WeightType::kQ5_0:
    case WeightType::kQ8_0:
      return {0, -1};
    case WeightType::kQ4_1:
    case WeightType::kQ5_1:
    case WeightType::kQ4_K:
    case WeightType::kQ5_K:
      return {0, 2};
    case WeightType::kQ6_K:
      return {208, -1};
    default:
      return {};
  }
}

void PutFp16(std::byte* target, float value) {
  const std::uint16_t bits = FloatToFp16(value);
  std::memcpy(target, &bits, sizeof(bits));
}

void FillBlock(WeightType type, Random* random, std::byte* block) {
  const int bytes = GetWeightTypeInfo(type).block_bytes;
  const float value = random->Uniform();
  if (type == WeightType::kF32) {
    std::memcpy(block, &value, 4);
  } else if (type == WeightType::kF16) {
    PutFp16(block, value);
  } else if (type == WeightType::kBF16) {
    const std::uint16_t bits = FloatToBf16(value);
    std::memcpy(block, &bits, 2);
  } else {
    for (int i = 0; i < bytes; ++i) block[i] = static_cast<std::byte>(random->Next() >> 24);
    const ScaleOffsets offsets = OffsetsOf(type);
    PutFp16(block + offsets.d, 0.01f * random->Uniform());
    if (offsets.m >= 0) PutFp16(block + offsets.m, 0.05f * random->Uniform());
  }
}

}  // namespace

std::uint64_t Random::Next() {
  std::uint64_t z = state_ += 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

float Random::Uniform() {
  return static_cast<float>(static_cast<std::int64_t>(Next() >> 40) - (1 << 23)) / (1 << 23);
}

std::vector<float> RandomRows(int rows, int columns, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> data(static_cast<std::size_t>(rows) * columns);
  for (float& x : data) x = random.Uniform();
  for (int k = 0; k < columns; ++k) {
    if (rows > 3) data[3 * columns + k] = 1.0f;
    if (rows > 4) data[4 * columns + k] = k % 2 == 0 ? 1.0f : -1.0f;
    if (rows > 5) data[5 * columns + k] = 0.0f;
  }
  if (rows > 6) data[6 * columns + columns / 2] = 1000.0f;
  return data;
}

std::vector<std::byte> RandomWeight(WeightType type, int rows, int columns, std::uint64_t seed) {
  const WeightTypeInfo& info = GetWeightTypeInfo(type);
  Random random(seed);
  const std::size_t blocks = static_cast<std::size_t>(rows) * columns / info.block_elements;
  std::vector<std::byte> data(blocks * info.block_bytes);
  for (std::size_t i = 0; i < blocks; ++i) FillBlock(type, &random, data.data() + i * info.block_bytes);
  return data;
}

std::vector<float> DequantizeAll(WeightType type, const std::vector<std::byte>& data, int rows, int columns) {
  std::vector<float> out(static_cast<std::size_t>(rows) * columns);
  Dequantize(type, data.data(), static_cast<std::int64_t>(out.size()), out.data());
  return out;
}

const std::vector<Shape>& WeightShapes::Of(WeightType type) const {
  const int block = GetWeightTypeInfo(type).block_elements;
  return block == 1 ? without_blocks : block == 32 ? blocks_of_32 : blocks_of_256;
}

std::unique_ptr<Weight> Pack(Backend* backend, WeightType type, const std::vector<std::byte>& data,
                             Shape shape) {
  const WeightSource source{type, data.data(), shape.rows, shape.columns, {}};
  Result<std::unique_ptr<Weight>> weight = backend->Pack({&source, 1});
  REQUIRE(weight.ok());
  return std::move(weight).value();
}

ConstMatrixView View(const std::vector<float>& data, int rows, int columns) {
  return {data.data(), rows, columns, columns};
}
MatrixView View(std::vector<float>* data, int rows, int columns) {
  return {data->data(), rows, columns, columns};
}

std::unique_ptr<DeviceMemory> OnDevice(Backend* backend, const std::vector<float>& values) {
  Result<std::unique_ptr<DeviceMemory>> memory = backend->Allocate(values.size() * sizeof(float));
  backend->Upload((*memory)->data(), values.data(), values.size() * sizeof(float));
  return std::move(memory).value();
}

std::vector<float> Multiply(Backend* backend, const Weight& weight, const std::vector<float>& x) {
  const int m = static_cast<int>(x.size()) / weight.columns();
  std::vector<float> out(static_cast<std::size_t>(m) * weight.rows(), -1.0f);
  MatMulArgs args;
  args.x = View(x, m, weight.columns());
  args.weight = &weight;
  args.out = View(&out, m, weight.rows());
  backend->MatMul(args);
  REQUIRE(backend->Synchronize().ok());
  return out;
}

std::vector<float> RowsOf(const std::vector<float>& x, int columns, int first, int count) {
  return {x.begin() + static_cast<std::ptrdiff_t>(first) * columns,
          x.begin() + static_cast<std::ptrdiff_t>(first + count) * columns};
}

std::ptrdiff_t FirstDifference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i]))
      return static_cast<std::ptrdiff_t>(i);
  return -1;
}

}  // namespace reprise::test
