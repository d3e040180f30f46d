// Typed access to the fields of a JSON object in a model directory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/status.h"

namespace reprise {

// A field that is absent or null reads as nullopt; one of another type is INVALID_ARGUMENT naming file, field
// and value. The object must outlive this view.
class JsonFields {
 public:
  // `file` and `prefix` ("rope_scaling.") are for messages.
  JsonFields(const nlohmann::json& object, std::string file, std::string prefix = {});

  Result<std::optional<int>> Int(std::string_view name) const;
  Result<std::optional<double>> Number(std::string_view name) const;
  Result<std::optional<bool>> Bool(std::string_view name) const;
  Result<std::optional<std::string>> String(std::string_view name) const;
  // One integer or a list of them; empty when absent.
  Result<std::vector<int>> Ints(std::string_view name) const;
  // A list of numbers; empty when absent.
  Result<std::vector<double>> Numbers(std::string_view name) const;
  Result<std::vector<std::string>> Strings(std::string_view name) const;
  Result<std::optional<JsonFields>> Object(std::string_view name) const;

  // INVALID_ARGUMENT when the field is absent.
  Result<int> RequiredInt(std::string_view name) const;

  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  Status Unsupported(std::string_view name, std::string_view supported) const;
  Status Wrong(std::string_view name, std::string_view allowed) const;

 private:
  const nlohmann::json* Find(std::string_view name) const;  // nullptr when absent or null
  std::string Describe(std::string_view name) const;        // "config.json: 'rope_scaling.factor' is 0"

  const nlohmann::json& object_;
  std::string file_;
  std::string prefix_;
};

}  // namespace reprise
