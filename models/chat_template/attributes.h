// Access to the attributes, elements and slices of values, by the rules of Jinja's sandbox: what is missing,
// private or would change a value is undefined.
#pragma once

#include <optional>
#include <string_view>

#include "base/status.h"
#include "models/chat_template/runtime.h"
#include "models/chat_template/value.h"

namespace reprise::chat_template {

// The value under a name, or null.
const Value* FindKey(const Dict& dict, std::string_view name);
const Value* FindKey(const Entries& entries, std::string_view name);
// The value under a key of any type, or null. A list or a dict is no key: INVALID_ARGUMENT.
Result<const Value*> FindKey(Runtime& runtime, const Entries& entries, const Value& key);
// Replaces or appends.
Status SetKey(Runtime& runtime, Entries* entries, const Value& key, Value value);

Value MakeUndefined(std::string reason);

// value.name: a method first, then an element.
Result<Value> GetAttribute(Runtime& runtime, const Value& value, std::string_view name);
// value[index]: an element first, then a method.
Result<Value> GetElement(Runtime& runtime, const Value& value, const Value& index);
// value[start:stop:step]; each bound is an integer or None.
Result<Value> GetSlice(Runtime& runtime, const Value& value, const Value& start, const Value& stop,
                       const Value& step);
// What filters take as `attribute`: an integer, or names and integers separated by dots.
// A part that is missing reads as `fallback`, when there is one.
Result<Value> GetPath(Runtime& runtime, const Value& value, const Value& path,
                      const Value& fallback = Value());

}  // namespace reprise::chat_template
