#include "models/formats/other_tensors.h"

#include <cstring>

#include "models/formats/quoted.h"

namespace reprise {
namespace {

template <typename T>
std::vector<std::int64_t> Widen(std::span<const std::byte> bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return {values.begin(), values.end()};
}

Result<std::vector<std::int64_t>> ReadIntegers(const OtherTensor& tensor) {
  const std::size_t width = IntegerBytes(tensor.type);
  if (width == 0) return DataLoss("has type " + Quoted(tensor.type) + "; I32 or I64 is expected");
  if (tensor.shape.size() != 1 || tensor.bytes.size() % width != 0 ||
      static_cast<std::uint64_t>(tensor.shape[0]) != tensor.bytes.size() / width) {
    return DataLoss("is not one row of integers as long as its data");
  }
  return width == 8 ? Widen<std::int64_t>(tensor.bytes) : Widen<std::int32_t>(tensor.bytes);
}

}  // namespace

std::string_view OtherTensors::Type(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found != tensors_.end() ? std::string_view(found->second.type) : std::string_view();
}

Result<std::vector<std::int64_t>> OtherTensors::Integers(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return NotFound("there is no tensor " + Quoted(name) + " of integers");
  Result<std::vector<std::int64_t>> values = ReadIntegers(found->second);
  if (!values.ok()) return DataLoss("tensor " + Quoted(name) + " " + values.status().message());
  return values;
}

}  // namespace reprise
