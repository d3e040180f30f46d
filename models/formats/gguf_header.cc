#include "models/formats/gguf_header.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <variant>
#include <vector>

namespace reprise {
namespace {

// Numbers of github.com/ggml-org/ggml, docs/gguf.md.
enum class ValueType : std::uint32_t {
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

constexpr std::uint32_t kInt32Tensor = 26;

std::uint32_t TensorTypeNumber(WeightType type) {
  switch (type) {
    case WeightType::kF32:
      return 0;
    case WeightType::kF16:
      return 1;
    case WeightType::kQ4_0:
      return 2;
    case WeightType::kQ4_1:
      return 3;
    case WeightType::kQ5_0:
      return 6;
    case WeightType::kQ5_1:
      return 7;
    case WeightType::kQ8_0:
      return 8;
    case WeightType::kQ4_K:
      return 12;
    case WeightType::kQ5_K:
      return 13;
    case WeightType::kQ6_K:
      return 14;
    case WeightType::kBF16:
      return 30;
  }
  return 0;
}

class Writer {
 public:
  template <typename T>
  void Number(T value) {
    static_assert(std::is_arithmetic_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void String(const std::string& text) {
    Number<std::uint64_t>(text.size());
    bytes_ += text;
  }
  void Type(ValueType type) { Number(static_cast<std::uint32_t>(type)); }
  void Array(ValueType type, std::size_t size) {
    Type(ValueType::kArray);
    Type(type);
    Number<std::uint64_t>(size);
  }

  void Value(bool value) {
    Type(ValueType::kBool);
    Number<std::uint8_t>(value);
  }
  void Value(std::int64_t value) {
    if (value >= 0 && value <= std::numeric_limits<std::uint32_t>::max()) {
      Type(ValueType::kUint32);
      Number(static_cast<std::uint32_t>(value));
    } else if (value < 0 && value >= std::numeric_limits<std::int32_t>::min()) {
      Type(ValueType::kInt32);
      Number(static_cast<std::int32_t>(value));
    } else {
      Type(ValueType::kInt64);
      Number(value);
    }
  }
  void Value(std::uint64_t value) {
    Type(ValueType::kUint64);
    Number(value);
  }
  void Value(double value) {
    Type(ValueType::kFloat32);
    Number(static_cast<float>(value));
  }
  void Value(const std::string& value) {
    Type(ValueType::kString);
    String(value);
  }
  void Value(const std::vector<bool>& values) {
    Array(ValueType::kBool, values.size());
    for (const bool value : values) Number<std::uint8_t>(value);
  }
  void Value(const std::vector<std::int64_t>& values) {
    const bool narrow = std::all_of(values.begin(), values.end(), [](std::int64_t value) {
      return value >= std::numeric_limits<std::int32_t>::min() &&
             value <= std::numeric_limits<std::int32_t>::max();
    });
    Array(narrow ? ValueType::kInt32 : ValueType::kInt64, values.size());
    for (const std::int64_t value : values) {
      if (narrow) {
        Number(static_cast<std::int32_t>(value));
      } else {
        Number(value);
      }
    }
  }
  void Value(const std::vector<std::uint64_t>& values) { Numbers(ValueType::kUint64, values); }
  void Value(const std::vector<float>& values) { Numbers(ValueType::kFloat32, values); }
  void Value(const std::vector<double>& values) { Numbers(ValueType::kFloat64, values); }
  void Value(const std::vector<std::string>& values) {
    Array(ValueType::kString, values.size());
    for (const std::string& value : values) String(value);
  }

  std::string TakeAligned(std::size_t alignment) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment, '\0');
    return std::move(bytes_);
  }

 private:
  template <typename T>
  void Numbers(ValueType type, const std::vector<T>& values) {
    Array(type, values.size());
    for (const T value : values) Number(value);
  }

  std::string bytes_;
};

}  // namespace

std::string GgufHeader(std::span<const TensorSpec> tensors, const GgufFile::Metadata& metadata) {
  constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
  constexpr std::uint32_t kVersion = 3;
  Writer writer;
  writer.Number(kMagic);
  writer.Number(kVersion);
  writer.Number<std::uint64_t>(tensors.size());
  writer.Number<std::uint64_t>(metadata.size());
  for (const auto& [key, value] : metadata) {
    writer.String(key);
    std::visit([&](const auto& data) { writer.Value(data); }, value.data());
  }
  std::uint64_t offset = 0;
  for (const TensorSpec& tensor : tensors) {
    writer.String(tensor.name);
    writer.Number(static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size)
      writer.Number(static_cast<std::uint64_t>(*size));
    writer.Number(tensor.integers ? kInt32Tensor : TensorTypeNumber(tensor.type));
    writer.Number(offset);
    offset += (tensor.bytes() + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment;
  }
  return writer.TakeAligned(kGgufAlignment);
}

}  // namespace reprise
