#include "models/json_fields.h"

#include <limits>
#include <utility>

#include "models/formats/quoted.h"

namespace reprise {
namespace {

using nlohmann::json;

bool IsInt(const json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>() <= std::numeric_limits<int>::max();
  return value.is_number_integer() && value.get<std::int64_t>() >= std::numeric_limits<int>::min() &&
         value.get<std::int64_t>() <= std::numeric_limits<int>::max();
}

}  // namespace

JsonFields::JsonFields(const json& object, std::string file, std::string prefix)
    : object_(object), file_(std::move(file)), prefix_(std::move(prefix)) {}

const json* JsonFields::Find(std::string_view name) const {
  const auto found = object_.find(std::string(name));
  return found != object_.end() && !found->is_null() ? &*found : nullptr;
}

std::string JsonFields::Describe(std::string_view name) const {
  const json* value = Find(name);
  const std::string field = file_ + ": " + Quoted(prefix_ + std::string(name));
  return value != nullptr ? field + " is " + Quoted(value->dump()) : field + " is missing";
}

Status JsonFields::Unsupported(std::string_view name, std::string_view supported) const {
  return Unimplemented(Describe(name) + ", which is not supported; supported: " + std::string(supported),
                       prefix_ + std::string(name));
}

Status JsonFields::Wrong(std::string_view name, std::string_view allowed) const {
  return InvalidArgument(Describe(name) + "; expected " + std::string(allowed), prefix_ + std::string(name));
}

Result<std::optional<int>> JsonFields::Int(std::string_view name) const {
  const json* value = Find(name);
  if (value == nullptr) return std::optional<int>();
  if (!IsInt(*value)) return Wrong(name, "an integer of 32 bits");
  return std::optional<int>(value->get<int>());
}

Result<int> JsonFields::RequiredInt(std::string_view name) const {
  ASSIGN_OR_RETURN(const std::optional<int> value, Int(name));
  if (!value) return Wrong(name, "an integer");
  return *value;
}

Result<std::optional<double>> JsonFields::Number(std::string_view name) const {
  const json* value = Find(name);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number()) return Wrong(name, "a number");
  return std::optional<double>(value->get<double>());
}

Result<std::optional<bool>> JsonFields::Bool(std::string_view name) const {
  const json* value = Find(name);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean()) return Wrong(name, "true or false");
  return std::optional<bool>(value->get<bool>());
}

Result<std::optional<std::string>> JsonFields::String(std::string_view name) const {
  const json* value = Find(name);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return Wrong(name, "a string");
  return std::optional<std::string>(value->get<std::string>());
}

Result<std::vector<int>> JsonFields::Ints(std::string_view name) const {
  const json* value = Find(name);
  std::vector<int> out;
  if (value == nullptr) return out;
  if (IsInt(*value)) return std::vector<int>{value->get<int>()};
  if (!value->is_array()) return Wrong(name, "an integer or a list of integers");
  for (const json& element : *value) {
    if (!IsInt(element)) return Wrong(name, "an integer or a list of integers");
    out.push_back(element.get<int>());
  }
  return out;
}

Result<std::vector<double>> JsonFields::Numbers(std::string_view name) const {
  const json* value = Find(name);
  std::vector<double> out;
  if (value == nullptr) return out;
  if (!value->is_array()) return Wrong(name, "a list of numbers");
  for (const json& element : *value) {
    if (!element.is_number()) return Wrong(name, "a list of numbers");
    out.push_back(element.get<double>());
  }
  return out;
}

Result<std::vector<std::string>> JsonFields::Strings(std::string_view name) const {
  const json* value = Find(name);
  std::vector<std::string> out;
  if (value == nullptr) return out;
  if (!value->is_array()) return Wrong(name, "a list of strings");
  for (const json& element : *value) {
    if (!element.is_string()) return Wrong(name, "a list of strings");
    out.push_back(element.get<std::string>());
  }
  return out;
}

Result<std::optional<JsonFields>> JsonFields::Object(std::string_view name) const {
  const json* value = Find(name);
  if (value == nullptr) return std::optional<JsonFields>();
  if (!value->is_object()) return Wrong(name, "an object");
  return std::optional<JsonFields>(JsonFields(*value, file_, prefix_ + std::string(name) + "."));
}

}  // namespace reprise
