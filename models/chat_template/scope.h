// Variables by name, in scopes that lie within each other.
#pragma once

#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "models/chat_template/value.h"

namespace reprise::chat_template {

// Names are views of the syntax tree or of the caller's variables, which outlive every scope.
class Scope {
 public:
  explicit Scope(std::shared_ptr<const Scope> parent) : parent_(std::move(parent)) {}

  void Set(std::string_view name, Value value) { variables_[name] = std::move(value); }
  void Clear() { variables_.clear(); }

  // The innermost variable of that name, or null.
  const Value* Find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent_.get()) {
      const auto found = scope->variables_.find(name);
      if (found != scope->variables_.end()) return &found->second;
    }
    return nullptr;
  }

 private:
  std::shared_ptr<const Scope> parent_;
  std::unordered_map<std::string_view, Value> variables_;
};
using ScopePtr = std::shared_ptr<Scope>;

}  // namespace reprise::chat_template
