// Python's matching of call arguments to parameters.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "models/chat_template/builtins.h"
#include "models/chat_template/value.h"

namespace reprise::chat_template {

// Arguments by parameter position; a missing one reads as null. Refers to the CallArguments it was made from.
class BoundArguments {
 public:
  // The first `required` parameters need an argument. Errors name the function.
  static Result<BoundArguments> Bind(std::string_view function,
                                     std::initializer_list<std::string_view> parameters, std::size_t required,
                                     const CallArguments& arguments);

  const Value* operator[](std::size_t parameter) const { return values_[parameter]; }
  // A missing argument reads as `fallback`, and so does None where an argument may be missing; another type
  // is an error.
  Result<std::int64_t> Integer(std::size_t parameter, std::int64_t fallback) const;
  Result<std::string_view> Text(std::size_t parameter, std::string_view fallback) const;
  // Truth of the argument.
  bool Flag(std::size_t parameter, bool fallback) const;

 private:
  std::string TypeError(std::size_t parameter, std::string_view wanted) const;

  // Whether the parameter reads as its fallback.
  bool IsMissing(std::size_t parameter) const;

  std::string function_;
  std::size_t required_ = 0;
  std::vector<std::string> names_;
  std::vector<const Value*> values_;
};

}  // namespace reprise::chat_template
