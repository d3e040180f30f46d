#include "server/json_reader.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/text.h"
#include "base/utf8.h"

namespace reprise {
namespace {

constexpr std::size_t kMaxQuoted = 64;

// What came from outside as a message shows it: cut, at a character, when long.
std::string Cut(std::string text) {
  if (text.size() <= kMaxQuoted) return text;
  text.resize(kMaxQuoted);
  text.resize(text.size() - IncompleteUtf8Suffix(text));
  return text + "...";
}

std::string Quote(const Json& value) {
  return Cut(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

bool ToInteger(const Json& value, std::int64_t* out) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return false;
    *out = static_cast<std::int64_t>(number);
    return true;
  }
  if (value.is_number_integer()) {
    *out = value.get<std::int64_t>();
    return true;
  }
  if (!value.is_number_float()) return false;
  const double number = value.get<double>();
  if (number != std::floor(number) || std::abs(number) > 9007199254740992.0) return false;
  *out = static_cast<std::int64_t>(number);
  return true;
}

JsonReader::JsonReader(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object.is_object()) {
    const std::string name = path_.empty() ? "the request body" : path_.substr(0, path_.size() - 1);
    Fail(InvalidArgument(name + " must be an object, got " + std::string(JsonTypeName(object)),
                         path_.empty() ? "" : name));
  }
}

const Json* JsonReader::Find(std::string_view name) {
  known_.emplace(name);
  if (failed()) return nullptr;
  const auto found = object_.find(std::string(name));
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void JsonReader::Read(std::string_view name, std::optional<double>* out) {
  const Json* value = Find(name);
  if (value == nullptr) return;
  if (!value->is_number()) return FailType(name, "a number", *value);
  *out = value->get<double>();
}

void JsonReader::Read(std::string_view name, std::optional<std::int64_t>* out) {
  const Json* value = Find(name);
  if (value == nullptr) return;
  std::int64_t number = 0;
  if (!ToInteger(*value, &number)) return FailType(name, "an integer of 64 bits", *value);
  *out = number;
}

void JsonReader::Read(std::string_view name, std::optional<bool>* out) {
  const Json* value = Find(name);
  if (value == nullptr) return;
  if (!value->is_boolean()) return FailType(name, "true or false", *value);
  *out = value->get<bool>();
}

void JsonReader::Read(std::string_view name, bool* out) {
  std::optional<bool> value;
  Read(name, &value);
  if (value) *out = *value;
}

void JsonReader::Read(std::string_view name, std::optional<std::string>* out) {
  const Json* value = Find(name);
  if (value == nullptr) return;
  if (!value->is_string()) return FailType(name, "a string", *value);
  *out = value->get<std::string>();
}

void JsonReader::Read(std::string_view name, std::vector<std::int64_t>* out) {
  const Json* value = Find(name);
  if (value == nullptr) return;
  if (!value->is_array()) return FailType(name, "a list of integers", *value);
  out->reserve(value->size());
  for (const Json& item : *value) {
    std::int64_t number = 0;
    if (!ToInteger(item, &number)) {
      return FailType(std::string(name) + "[" + std::to_string(out->size()) + "]", "an integer", item);
    }
    out->push_back(number);
  }
}

void JsonReader::Read(std::string_view name, std::vector<std::string>* out) {
  const Json* value = Find(name);
  if (value == nullptr) return;
  if (value->is_string()) {
    out->push_back(value->get<std::string>());
    return;
  }
  if (!value->is_array()) return FailType(name, "a string or a list of strings", *value);
  for (const Json& item : *value) {
    if (!item.is_string()) {
      return FailType(std::string(name) + "[" + std::to_string(out->size()) + "]", "a string", item);
    }
    out->push_back(item.get<std::string>());
  }
}

void JsonReader::RefuseUnsupported(std::string_view name) {
  if (Find(name) == nullptr) return;
  Fail(Unimplemented("'" + Path(name) + "' is not supported yet; leave it out", Path(name)));
}

void JsonReader::Fail(Status status) {
  if (status_.ok()) status_ = std::move(status);
}

void JsonReader::FailType(std::string_view name, std::string_view expected, const Json& value) {
  Fail(InvalidArgument("'" + Path(name) + "' must be " + std::string(expected) + ", got " +
                           std::string(JsonTypeName(value)) + ": " + Quote(value),
                       Path(name)));
}

Status JsonReader::Finish() const {
  if (failed()) return status_;
  for (const auto& item : object_.items()) {
    if (known_.contains(item.key())) continue;
    std::string message = "unknown field '" + Path(Cut(item.key())) + "'";
    const std::vector<std::string> names(known_.begin(), known_.end());
    const std::string nearest = NearestName(item.key(), names);
    if (!nearest.empty()) message += "; did you mean '" + Path(nearest) + "'?";
    return InvalidArgument(std::move(message), Path(Cut(item.key())));
  }
  return OkStatus();
}

}  // namespace reprise
