// The operators, filters, tests, methods and globals of the template language, all functions on values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "models/chat_template/value.h"

namespace reprise::chat_template {

class Runtime;

// Evaluated arguments of a call, a filter or a test.
struct CallArguments {
  List positional;
  std::vector<std::pair<std::string, Value>> keyword;
};

// A filter gets what it is applied to apart from its arguments, a method what it was looked up on.
using FilterFunction = Result<Value> (*)(Runtime& runtime, const Value& input,
                                         const CallArguments& arguments);
using TestFunction = Result<bool> (*)(Runtime& runtime, const Value& input, const CallArguments& arguments);
using MethodFunction = Result<Value> (*)(Runtime& runtime, const Value& self, const CallArguments& arguments);
using GlobalFunction = Result<Value> (*)(Runtime& runtime, const CallArguments& arguments);

// Each is null when there is none of that name.
FilterFunction FindFilter(std::string_view name);
TestFunction FindTest(std::string_view name);
// The method of that name of the value's Python type.
MethodFunction FindMethod(const Value& self, std::string_view name);

enum class ArithmeticOperator : std::uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower
};
enum class CompareOperator : std::uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn
};

}  // namespace reprise::chat_template
