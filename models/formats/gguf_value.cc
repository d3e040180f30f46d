#include "models/formats/gguf_value.h"

#include <iterator>
#include <limits>

namespace reprise {

std::optional<bool> GgufValue::AsBool() const {
  const bool* value = std::get_if<bool>(&data_);
  return value != nullptr ? std::optional<bool>(*value) : std::nullopt;
}

std::optional<std::int64_t> GgufValue::AsInt() const {
  if (const auto* value = std::get_if<std::int64_t>(&data_)) return *value;
  if (const auto* value = std::get_if<std::uint64_t>(&data_)) {
    if (*value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return static_cast<std::int64_t>(*value);
    }
  }
  return std::nullopt;
}

std::optional<double> GgufValue::AsDouble() const {
  if (const auto* value = std::get_if<double>(&data_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&data_)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<std::uint64_t>(&data_)) return static_cast<double>(*value);
  return std::nullopt;
}

std::string GgufValue::TypeName() const {
  static constexpr const char* kNames[] = {"boolean",
                                           "integer",
                                           "unsigned integer",
                                           "number",
                                           "string",
                                           "array of booleans",
                                           "array of integers",
                                           "array of uint64s",
                                           "array of float32s",
                                           "array of float64s",
                                           "array of strings"};
  static_assert(std::size(kNames) == std::variant_size_v<Data>);
  return kNames[data_.index()];
}

}  // namespace reprise
