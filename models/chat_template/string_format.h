// Python's two ways to fill in a string: 'format % values' and 'format'.format(values).
#pragma once

#include <string_view>

#include "base/status.h"
#include "models/chat_template/builtins.h"
#include "models/chat_template/runtime.h"
#include "models/chat_template/value.h"

namespace reprise::chat_template {

// `format` is a string; `values` a tuple, a dict for %(name)s, or one value.
Result<Value> FormatPercent(Runtime& runtime, const Value& format, const Value& values);

// {}, {0} and {name}, with a format specification but without attributes, elements or nested fields.
Result<Value> FormatBraces(Runtime& runtime, std::string_view format, const CallArguments& values);

}  // namespace reprise::chat_template
