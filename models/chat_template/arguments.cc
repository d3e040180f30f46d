#include "models/chat_template/arguments.h"

#include <algorithm>

#include "models/chat_template/operators.h"

namespace reprise::chat_template {

Result<BoundArguments> BoundArguments::Bind(std::string_view function,
                                            std::initializer_list<std::string_view> parameters,
                                            std::size_t required, const CallArguments& arguments) {
  BoundArguments bound;
  bound.function_ = function;
  bound.required_ = required;
  bound.names_.assign(parameters.begin(), parameters.end());
  bound.values_.assign(parameters.size(), nullptr);
  if (arguments.positional.size() > parameters.size()) {
    return InvalidArgument(bound.function_ + " takes at most " + std::to_string(parameters.size()) +
                           " arguments, not " + std::to_string(arguments.positional.size()));
  }
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) bound.values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.keyword) {
    const auto found = std::find(parameters.begin(), parameters.end(), name);
    if (found == parameters.end())
      return InvalidArgument(bound.function_ + " has no parameter '" + name + "'");
    const Value*& slot = bound.values_[static_cast<std::size_t>(found - parameters.begin())];
    if (slot != nullptr) return InvalidArgument(bound.function_ + " got two values for '" + name + "'");
    slot = &value;
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (bound.values_[i] == nullptr) {
      return InvalidArgument(bound.function_ + " needs an argument '" + bound.names_[i] + "'");
    }
  }
  return bound;
}

bool BoundArguments::IsMissing(std::size_t parameter) const {
  return values_[parameter] == nullptr || (values_[parameter]->IsNone() && parameter >= required_);
}

std::string BoundArguments::TypeError(std::size_t parameter, std::string_view wanted) const {
  return "argument '" + names_[parameter] + "' of " + function_ + " must be " + std::string(wanted) +
         ", not '" + TypeName(*values_[parameter]) + "'";
}

Result<std::int64_t> BoundArguments::Integer(std::size_t parameter, std::int64_t fallback) const {
  const Value* value = values_[parameter];
  if (IsMissing(parameter)) return fallback;
  RETURN_IF_ERROR(CheckDefined(*value));
  if (const std::optional<std::int64_t> integer = IntegerOf(*value)) return *integer;
  return InvalidArgument(TypeError(parameter, "an integer"));
}

Result<std::string_view> BoundArguments::Text(std::size_t parameter, std::string_view fallback) const {
  const Value* value = values_[parameter];
  if (IsMissing(parameter)) return fallback;
  RETURN_IF_ERROR(CheckDefined(*value));
  if (const std::string* text = value->AsString()) return std::string_view(*text);
  return InvalidArgument(TypeError(parameter, "a string"));
}

bool BoundArguments::Flag(std::size_t parameter, bool fallback) const {
  return values_[parameter] == nullptr ? fallback : IsTrue(*values_[parameter]);
}

}  // namespace reprise::chat_template
