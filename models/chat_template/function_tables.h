// Lookup of functions by name, and the methods of each type.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>

#include "models/chat_template/builtins.h"

namespace reprise::chat_template {

template <typename Function>
struct NamedFunction {
  std::string_view name;
  Function function;
};

// Null when no entry has that name.
template <typename Function, std::size_t size>
Function FindByName(const NamedFunction<Function> (&table)[size], std::string_view name) {
  for (const NamedFunction<Function>& entry : table) {
    if (entry.name == name) return entry.function;
  }
  return nullptr;
}

MethodFunction FindStringMethod(std::string_view name);
MethodFunction FindDictMethod(std::string_view name);
MethodFunction FindListMethod(std::string_view name);

// The filters by family.
FilterFunction FindTextFilter(std::string_view name);
FilterFunction FindNumberFilter(std::string_view name);
FilterFunction FindSequenceFilter(std::string_view name);
FilterFunction FindSelectionFilter(std::string_view name);

}  // namespace reprise::chat_template
