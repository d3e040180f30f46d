// The tensors of a file whose type is no weight: set aside when the file is opened, by either reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace reprise {

struct OtherTensor {
  std::string type;  // the file's own name: "I64", "IQ4_XS"
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;  // of I32 and I64; may be empty for other types
};

// Bytes of one element of a type that OtherTensors::Integers reads; 0 for every other.
constexpr std::size_t IntegerBytes(std::string_view type) {
  return type == "I64" ? 8 : type == "I32" ? 4 : 0;
}

class OtherTensors {
 public:
  void Add(std::string name, OtherTensor tensor) { tensors_.emplace(std::move(name), std::move(tensor)); }
  void Merge(OtherTensors& other) { tensors_.merge(other.tensors_); }

  // Checkpoint::UnsupportedType and Checkpoint::Integers.
  std::string_view Type(std::string_view name) const;
  Result<std::vector<std::int64_t>> Integers(std::string_view name) const;

 private:
  std::map<std::string, OtherTensor, std::less<>> tensors_;
};

}  // namespace reprise
