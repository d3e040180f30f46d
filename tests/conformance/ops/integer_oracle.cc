#include "tests/conformance/ops/integer_oracle.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/float_types.h"

namespace reprise::test {
namespace {

// A run of columns that share a scale: weight = scale * code + minimum.
struct Segment {
  float scale;
  float minimum;
  bool has_minimum;
  int columns;  // 32, or 16 for Q6_K
  int codes[32];
};

struct Fields {
  int d;       // offset of the fp16 scale
  int m;       // of the fp16 minimum, or -1
  int scales;  // bytes of sub-block scales to keep: [begin, end)
  int scales_end;
};
Fields FieldsOf(WeightType type) {
  switch (type) {
    case WeightType::kQ4_0:
    case WeightType::kQ5_0:
    case WeightType::kQ8_0:
      return {0, -1, 0, 0};
    case WeightType::kQ4_1:
    case WeightType::kQ5_1:
      return {0, 2, 0, 0};
    case WeightType::kQ6_K:
      return {208, -1, 192, 208};
    default:
      return {0, 2, 4, 16};
  }
}

float Fp16At(const std::byte* source) {
  std::uint16_t bits;
  std::memcpy(&bits, source, 2);
  return Fp16ToFloat(bits);
}
void PutFp16(std::byte* target, float value) {
  const std::uint16_t bits = FloatToFp16(value);
  std::memcpy(target, &bits, 2);
}

// What is inside a block is learned from Dequantize, the formats' definition, by changing its scales:
// d = 1, m = 0 leaves sub-scale times code; with all codes zero as well, sub-scale times minus the offset (or
// nothing); d = 0 leaves the minimum.
std::vector<Segment> SegmentsOf(WeightType type, const std::byte* source) {
  const WeightTypeInfo& info = GetWeightTypeInfo(type);
  const Fields fields = FieldsOf(type);
  const int elements = info.block_elements;
  std::vector<std::byte> block(source, source + info.block_bytes);
  std::vector<float> products(elements), minimums(elements), ones(elements);

  if (fields.m >= 0) {
    PutFp16(block.data() + fields.d, 0.0f);
    Dequantize(type, block.data(), elements, minimums.data());
    PutFp16(block.data() + fields.m, 0.0f);
  }
  PutFp16(block.data() + fields.d, 1.0f);
  Dequantize(type, block.data(), elements, products.data());
  // Codes of 1 (nibbles 0001, further bits 0): sub-scale times (1 - offset).
  for (int i = 0; i < info.block_bytes; ++i) {
    const bool scale_byte =
        (i >= fields.scales && i < fields.scales_end) || i == fields.d || i == fields.d + 1;
    if (!scale_byte) block[i] = std::byte{0x11};
  }
  if (fields.m >= 0) PutFp16(block.data() + fields.m, 0.0f);
  if (type == WeightType::kQ6_K) std::fill(block.begin() + 128, block.begin() + 192, std::byte{0});
  if (type == WeightType::kQ5_K) std::fill(block.begin() + 16, block.begin() + 48, std::byte{0});
  Dequantize(type, block.data(), elements, ones.data());

  std::vector<Segment> segments;
  const int columns = type == WeightType::kQ6_K ? 16 : 32;
  const float d = Fp16At(source + fields.d);
  for (int begin = 0; begin < elements; begin += columns) {
    const float sub_scale = elements == 32 ? 1.0f : (columns == 16 ? ones[begin] / -31.0f : ones[begin]);
    Segment segment{d * sub_scale, minimums[begin], fields.m >= 0, columns, {}};
    for (int i = 0; i < columns; ++i)
      segment.codes[i] = sub_scale == 0.0f ? 0 : static_cast<int>(products[begin + i] / sub_scale);
    segments.push_back(segment);
  }
  return segments;
}

struct Quantized {
  int q[32];
  float scale;
};
Quantized Quantize(const float* x) {
  float maximum = 0.0f;
  for (int i = 0; i < 32; ++i) maximum = std::max(maximum, std::fabs(x[i]));
  Quantized block;
  block.scale = maximum < 1e-30f ? 0.0f : maximum / 127.0f;
  const float inverse = maximum < 1e-30f ? 0.0f : 127.0f / maximum;
  for (int i = 0; i < 32; ++i) block.q[i] = static_cast<int>(std::nearbyint(x[i] * inverse));
  return block;
}

}  // namespace

std::vector<float> IntegerMatMul(WeightType type, const std::vector<std::byte>& weight, int rows, int columns,
                                 const std::vector<float>& x) {
  const WeightTypeInfo& info = GetWeightTypeInfo(type);
  const std::size_t m = x.size() / columns;
  const int tiles = columns / 32;
  std::vector<Quantized> activations;
  for (std::size_t i = 0; i < x.size(); i += 32) activations.push_back(Quantize(x.data() + i));
  std::vector<float> out(m * rows);
  for (int n = 0; n < rows; ++n) {
    std::vector<Segment> segments;
    const std::size_t row_bytes = static_cast<std::size_t>(columns / info.block_elements) * info.block_bytes;
    for (std::size_t b = 0; b < row_bytes; b += info.block_bytes) {
      for (const Segment& segment : SegmentsOf(type, weight.data() + n * row_bytes + b))
        segments.push_back(segment);
    }
    for (std::size_t t = 0; t < m; ++t) {
      float sum = 0.0f;
      int column = 0;
      for (const Segment& segment : segments) {
        const Quantized& block = activations[t * tiles + column / 32];
        int dot = 0;
        int total = 0;
        for (int i = 0; i < segment.columns; ++i) {
          dot += segment.codes[i] * block.q[column % 32 + i];
          total += block.q[column % 32 + i];
        }
        sum = std::fma(static_cast<float>(dot), segment.scale * block.scale, sum);
        if (segment.has_minimum)
          sum = std::fma(segment.minimum, block.scale * static_cast<float>(total), sum);
        column += segment.columns;
      }
      out[t * rows + n] = sum;
    }
  }
  return out;
}

}  // namespace reprise::test
