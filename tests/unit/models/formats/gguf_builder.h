// Writes GGUF files byte by byte, lies included: what the writer claims is what the test says.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace reprise {

template <typename T>
std::string Bytes(T value) {
  std::string out(sizeof(T), '\0');
  std::memcpy(out.data(), &value, sizeof(T));
  return out;
}

inline std::string GgufString(std::string_view text) {
  return Bytes<std::uint64_t>(text.size()) + std::string(text);
}

// The numbers of docs/gguf.md, written out again so that a wrong one in the reader shows.
enum GgufTypeNumber : std::uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12
};

class GgufBuilder {
 public:
  std::uint32_t version = 3;
  std::optional<std::uint64_t> claimed_pairs;
  std::optional<std::uint64_t> claimed_tensors;
  std::size_t alignment = 32;

  GgufBuilder& Add(std::string_view key, std::uint32_t type, const std::string& value) {
    pairs_ += GgufString(key) + Bytes(type) + value;
    ++num_pairs_;
    return *this;
  }
  GgufBuilder& AddArray(std::string_view key, std::uint32_t type, std::uint64_t count,
                        const std::string& elements) {
    return Add(key, kArray, Bytes(type) + Bytes(count) + elements);
  }
  // `dimensions` innermost first, as in the file.
  GgufBuilder& AddTensor(std::string_view name, std::vector<std::uint64_t> dimensions, std::uint32_t type,
                         std::uint64_t offset) {
    table_ += GgufString(name) + Bytes(static_cast<std::uint32_t>(dimensions.size()));
    for (const std::uint64_t dimension : dimensions) table_ += Bytes(dimension);
    table_ += Bytes(type) + Bytes(offset);
    ++num_tensors_;
    return *this;
  }
  GgufBuilder& Data(const std::string& data) {
    data_ = data;
    return *this;
  }

  std::string Build() const {
    std::string out = "GGUF" + Bytes(version) + Bytes(claimed_tensors.value_or(num_tensors_)) +
                      Bytes(claimed_pairs.value_or(num_pairs_)) + pairs_ + table_;
    out.resize((out.size() + alignment - 1) / alignment * alignment);
    return out + data_;
  }

 private:
  std::string pairs_;
  std::string table_;
  std::string data_;
  std::uint64_t num_pairs_ = 0;
  std::uint64_t num_tensors_ = 0;
};

}  // namespace reprise
