// The functions and objects every template starts with.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "models/chat_template/attributes.h"
#include "models/chat_template/runtime.h"
#include "models/chat_template/value.h"

namespace reprise::chat_template {

// The one kind of value a template may change: `set namespace.name = value`.
class Namespace : public Object {
 public:
  std::string Describe() const override { return "Namespace"; }
  Result<std::optional<Value>> Attribute(std::string_view name) override {
    const Value* value = FindKey(attributes_, name);
    return value == nullptr ? std::optional<Value>() : *value;
  }
  Status Set(Runtime& runtime, std::string_view name, Value value);

 private:
  Entries attributes_;
};

// Names and values: range, dict, namespace, raise_exception, strftime_now, joiner and cycler.
Result<Dict> MakeGlobals(Runtime& runtime);

}  // namespace reprise::chat_template
