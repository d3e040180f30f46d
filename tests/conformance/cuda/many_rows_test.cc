// What cuBLASLt is given: weights and activations as bf16. (The library itself runs on devices only.)
#include <catch2/catch.hpp>
#include <cmath>

#include "base/float_types.h"
#include "kernels/cuda/cuda_weight.h"
#include "kernels/cuda/prologue.h"
#include "kernels/cuda/rows.h"
#include "tests/conformance/ops/op_data.h"

namespace reprise::test {
namespace {

using cuda::DeviceBuffer;
using cuda::Stream;

std::unique_ptr<Stream> NewStream() {
  Result<std::unique_ptr<Stream>> stream = Stream::Create(0, /*graph_bytes=*/0);
  REQUIRE(stream.ok());
  return std::move(stream).value();
}

std::vector<std::uint16_t> Read(Stream& stream, const void* device, std::size_t count) {
  std::vector<std::uint16_t> values(count);
  stream.Download(values.data(), device, count * sizeof(std::uint16_t));
  REQUIRE(stream.Synchronize().ok());
  return values;
}

TEST_CASE("cuda: weights expand to their bf16, padded with zeros") {
  const std::unique_ptr<Stream> stream = NewStream();
  ThreadPool threads(2);
  for (WeightType type : kAllWeightTypes) {
    if (type == WeightType::kF32) continue;  // multiplied as floats
    INFO(GetWeightTypeInfo(type).name);
    const int rows = 19;
    const int columns = GetWeightTypeInfo(type).block_elements == 1 ? 45 : 512;
    const int stride = columns + 3;
    const std::vector<std::byte> data = RandomWeight(type, rows, columns, 80);
    const WeightSource source{type, data.data(), rows, columns, {}};
    Result<std::unique_ptr<cuda::CudaWeight>> weight = cuda::CudaWeight::Pack({&source, 1}, *stream, threads);
    REQUIRE(weight.ok());
    const auto& packed = (*weight)->parts()[0].packed;
    DeviceBuffer out(*stream);
    const std::size_t count = static_cast<std::size_t>(rows) * stride;
    auto* device = static_cast<std::uint16_t*>(out.Get(count * sizeof(std::uint16_t)));
    cuda::ExpandToBf16(*stream, packed, device, stride);
    const std::vector<float> exact = DequantizeAll(type, data, rows, columns);
    const std::vector<std::uint16_t> got = Read(*stream, device, count);
    int wrong = 0;
    for (int r = 0; r < rows; ++r) {
      for (int k = 0; k < stride; ++k) {
        const std::uint16_t expected = k < columns ? FloatToBf16(exact[r * columns + k]) : std::uint16_t{0};
        wrong += got[static_cast<std::size_t>(r) * stride + k] != expected;
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("cuda: activations are rounded to bf16 once, padded with zeros") {
  const std::unique_ptr<Stream> stream = NewStream();
  constexpr int kRows = 9;
  constexpr int kColumns = 77;
  const int stride = cuda::PaddedColumns(kColumns);
  const std::vector<float> x = RandomRows(kRows, kColumns, 81);
  DeviceBuffer in(*stream), out(*stream);
  void* device_x = in.Get(x.size() * sizeof(float));
  stream->Upload(device_x, x.data(), x.size() * sizeof(float));
  const std::size_t count = static_cast<std::size_t>(kRows) * stride;
  auto* device = static_cast<std::uint16_t*>(out.Get(count * sizeof(std::uint16_t)));
  const cuda::ProductInput input = {
      {static_cast<const float*>(device_x), kRows, kColumns, kColumns}, kColumns, Prologue::kRelu};
  cuda::PrepareBf16Rows(*stream, input, device);
  const std::vector<std::uint16_t> got = Read(*stream, device, count);
  int wrong = 0;
  for (int t = 0; t < kRows; ++t) {
    for (int k = 0; k < stride; ++k) {
      const float value = k < kColumns ? std::max(x[t * kColumns + k], 0.0f) : 0.0f;
      wrong += got[static_cast<std::size_t>(t) * stride + k] != FloatToBf16(value);
    }
  }
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace reprise::test
