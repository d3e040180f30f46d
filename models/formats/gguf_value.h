// One value of a GGUF file's metadata.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace reprise {

// Integers of up to 32 bits and int64 are held as int64, float32 as double (float in arrays, which may be
// long). Arrays are homogeneous; GGUF's arrays of arrays are refused by the reader.
class GgufValue {
 public:
  using Data = std::variant<bool, std::int64_t, std::uint64_t, double, std::string, std::vector<bool>,
                            std::vector<std::int64_t>, std::vector<std::uint64_t>, std::vector<float>,
                            std::vector<double>, std::vector<std::string>>;

  explicit GgufValue(Data data) : data_(std::move(data)) {}
  const Data& data() const { return data_; }

  std::optional<bool> AsBool() const;
  // Any integer that int64 can hold.
  std::optional<std::int64_t> AsInt() const;
  // Any number.
  std::optional<double> AsDouble() const;
  // nullptr when the value is of another type. The pointers live as long as the value.
  const std::string* AsString() const { return std::get_if<std::string>(&data_); }
  const std::vector<std::string>* AsStrings() const { return std::get_if<std::vector<std::string>>(&data_); }
  const std::vector<std::int64_t>* AsInts() const { return std::get_if<std::vector<std::int64_t>>(&data_); }
  const std::vector<float>* AsFloats() const { return std::get_if<std::vector<float>>(&data_); }

  // "string", "array of float32": for messages such as "is a string, expected an integer".
  std::string TypeName() const;

 private:
  Data data_;
};

}  // namespace reprise
