// Values as text: Python's str(), repr() and json.dumps().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "models/chat_template/runtime.h"
#include "models/chat_template/value.h"

namespace reprise::chat_template {

// Append to `out` and charge the budget for it.
Status AppendText(Runtime& runtime, const Value& value, std::string* out);
Status AppendRepr(Runtime& runtime, const Value& value, std::string* out);

// str(): a string value, which is `value` itself when it is one.
Result<Value> ToText(Runtime& runtime, const Value& value);

// Shortest digits that read back as the same number, in Python's notation.
std::string FormatFloat(double value);
std::string QuoteText(std::string_view text);

struct JsonStyle {
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  std::string indent;  // of one level, when is_indented
  bool is_indented = false;
  bool ensure_ascii = false;
  bool sort_keys = false;
};
// json.dumps(); an error for what JSON cannot hold.
Result<std::string> ToJson(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace reprise::chat_template
