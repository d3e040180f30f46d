// Python's operators and conversions on values. A type that does not fit is INVALID_ARGUMENT in Python's
// words.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "models/chat_template/builtins.h"
#include "models/chat_template/runtime.h"
#include "models/chat_template/value.h"

namespace reprise::chat_template {

// "str", "dict", "NoneType".
std::string TypeName(const Value& value);

// An error when the value is undefined: it says what was.
Status CheckDefined(const Value& value);

// `text` as the type of string that `original` is.
Value LikeText(const Value& original, std::string text);
// Markup whose HTML is escaped, unless it is markup already.
Result<Value> EscapeText(Runtime& runtime, const Value& value);

bool IsList(const Value& value);
bool IsTuple(const Value& value);
bool IsTrue(const Value& value);
inline bool IsCallable(const Value& value) {
  return value.AsObject() != nullptr && value.AsObject()->IsCallable();
}

// int, or bool as 0 or 1; nothing for any other type.
std::optional<std::int64_t> IntegerOf(const Value& value);
// int, bool or float.
std::optional<double> NumberOf(const Value& value);
// Nothing unless a float of integral value within 64 bits remains after truncation.
std::optional<std::int64_t> Truncate(double value);

Result<bool> Equal(Runtime& runtime, const Value& a, const Value& b);
// One of < <= > >=.
Result<bool> Ordered(Runtime& runtime, CompareOperator op, const Value& a, const Value& b);
Result<bool> Contains(Runtime& runtime, const Value& container, const Value& item);
Result<bool> Compare(Runtime& runtime, CompareOperator op, const Value& a, const Value& b);

Result<Value> Arithmetic(Runtime& runtime, ArithmeticOperator op, const Value& a, const Value& b);
Result<Value> Negate(const Value& value);

// What a loop over the value walks: characters, keys, items. Takes what is left of a generator.
Result<std::shared_ptr<const Sequence>> Items(Runtime& runtime, const Value& value);
// len().
Result<std::int64_t> Length(Runtime& runtime, const Value& value);

}  // namespace reprise::chat_template
