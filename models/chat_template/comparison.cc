// Equality, order and membership.
#include <algorithm>
#include <cmath>

#include "models/chat_template/attributes.h"
#include "models/chat_template/operators.h"
#include "models/chat_template/text.h"

namespace reprise::chat_template {
namespace {

std::string_view SymbolOf(CompareOperator op) {
  static constexpr std::string_view kSymbols[] = {"==", "!=", "<", "<=", ">", ">=", "in", "not in"};
  return kSymbols[static_cast<std::size_t>(op)];
}

bool Holds(CompareOperator op, int order) {
  switch (op) {
    case CompareOperator::kLess:
      return order < 0;
    case CompareOperator::kLessEqual:
      return order <= 0;
    case CompareOperator::kGreater:
      return order > 0;
    default:
      return order >= 0;
  }
}

Result<bool> EqualItems(Runtime& runtime, const List& a, const List& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equal(runtime, a[i], b[i]));
    if (!equal) return false;
  }
  return true;
}

Result<bool> EqualMappings(Runtime& runtime, const Entries& a, const Entries& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [key, value] : a) {
    ASSIGN_OR_RETURN(const Value* other, FindKey(runtime, b, key));
    if (other == nullptr) return false;
    ASSIGN_OR_RETURN(const bool equal, Equal(runtime, value, *other));
    if (!equal) return false;
  }
  return true;
}

Result<bool> OrderedItems(Runtime& runtime, CompareOperator op, const List& a, const List& b) {
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equal(runtime, a[i], b[i]));
    if (!equal) return Ordered(runtime, op, a[i], b[i]);
  }
  return Holds(op, a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0);
}

}  // namespace

Result<bool> Equal(Runtime& runtime, const Value& a, const Value& b) {
  RETURN_IF_ERROR(runtime.budget().Step());
  if (a.AsString() != nullptr && b.AsString() != nullptr) {
    RETURN_IF_ERROR(runtime.budget().Scan(std::min(a.AsString()->size(), b.AsString()->size())));
    return *a.AsString() == *b.AsString();
  }
  if (IntegerOf(a) && IntegerOf(b)) return *IntegerOf(a) == *IntegerOf(b);
  if (NumberOf(a) && NumberOf(b)) return *NumberOf(a) == *NumberOf(b);
  if (a.AsSequence() != nullptr && b.AsSequence() != nullptr) {
    if (a.AsSequence() == b.AsSequence()) return true;
    if (a.AsSequence()->kind != b.AsSequence()->kind || a.AsSequence()->kind == SequenceKind::kGenerator)
      return false;
    return EqualItems(runtime, a.AsSequence()->items, b.AsSequence()->items);
  }
  if (a.AsMapping() != nullptr && b.AsMapping() != nullptr) {
    return EqualMappings(runtime, a.AsMapping()->items, b.AsMapping()->items);
  }
  if (a.AsObject() != nullptr) return a.AsObject() == b.AsObject();
  if (a.IsNone()) return b.IsNone();
  return a.AsUndefined() != nullptr && b.AsUndefined() != nullptr;
}

Result<bool> Ordered(Runtime& runtime, CompareOperator op, const Value& a, const Value& b) {
  RETURN_IF_ERROR(CheckDefined(a));
  RETURN_IF_ERROR(CheckDefined(b));
  RETURN_IF_ERROR(runtime.budget().Step());
  if (a.AsString() != nullptr && b.AsString() != nullptr) {
    RETURN_IF_ERROR(runtime.budget().Scan(std::min(a.AsString()->size(), b.AsString()->size())));
    return Holds(op, a.AsString()->compare(*b.AsString()));  // UTF-8 sorts as its code points do
  }
  if (IntegerOf(a) && IntegerOf(b)) {
    return Holds(op, *IntegerOf(a) < *IntegerOf(b) ? -1 : *IntegerOf(a) > *IntegerOf(b) ? 1 : 0);
  }
  if (NumberOf(a) && NumberOf(b)) {
    const double x = *NumberOf(a), y = *NumberOf(b);
    return !std::isnan(x) && !std::isnan(y) && Holds(op, x < y ? -1 : x > y ? 1 : 0);
  }
  if ((IsList(a) && IsList(b)) || (IsTuple(a) && IsTuple(b))) {
    return OrderedItems(runtime, op, a.AsSequence()->items, b.AsSequence()->items);
  }
  return InvalidArgument("'" + std::string(SymbolOf(op)) + "' is not supported between '" + TypeName(a) +
                         "' and '" + TypeName(b) + "'");
}

Result<bool> Contains(Runtime& runtime, const Value& container, const Value& item) {
  if (const std::string* text = container.AsString()) {
    RETURN_IF_ERROR(CheckDefined(item));
    const std::string* part = item.AsString();
    if (part == nullptr)
      return InvalidArgument("'in <string>' needs a string on its left, not '" + TypeName(item) + "'");
    RETURN_IF_ERROR(runtime.budget().Scan(text->size() + part->size()));
    return FindFirst(*text, *part) != std::string_view::npos;
  }
  if (const Mapping* mapping = container.AsMapping()) {
    ASSIGN_OR_RETURN(const Value* found, FindKey(runtime, mapping->items, item));
    return found != nullptr;
  }
  if (container.AsSequence() == nullptr && container.AsUndefined() == nullptr) {
    return InvalidArgument("'" + TypeName(container) + "' cannot be searched with 'in'");
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<const Sequence> items, Items(runtime, container));
  for (const Value& candidate : items->items) {
    ASSIGN_OR_RETURN(const bool equal, Equal(runtime, candidate, item));
    if (equal) return true;
  }
  return false;
}

Result<bool> Compare(Runtime& runtime, CompareOperator op, const Value& a, const Value& b) {
  switch (op) {
    case CompareOperator::kEqual:
    case CompareOperator::kNotEqual: {
      ASSIGN_OR_RETURN(const bool equal, Equal(runtime, a, b));
      return equal == (op == CompareOperator::kEqual);
    }
    case CompareOperator::kIn:
    case CompareOperator::kNotIn: {
      ASSIGN_OR_RETURN(const bool contains, Contains(runtime, b, a));
      return contains == (op == CompareOperator::kIn);
    }
    default:
      return Ordered(runtime, op, a, b);
  }
}

}  // namespace reprise::chat_template
