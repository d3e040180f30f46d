#include "models/chat_template/operators.h"

#include <cmath>
#include <limits>
#include <utility>

#include "models/chat_template/attributes.h"
#include "models/chat_template/formatting.h"
#include "models/chat_template/string_format.h"
#include "models/chat_template/text.h"

namespace reprise::chat_template {
namespace {

Status UnsupportedOperands(std::string_view symbol, const Value& a, const Value& b) {
  return InvalidArgument("unsupported operand types for " + std::string(symbol) + ": '" + TypeName(a) +
                         "' and '" + TypeName(b) + "'");
}

Status Overflow() {
  return InvalidArgument("the result does not fit in a 64-bit integer");
}

std::string_view SymbolOf(ArithmeticOperator op) {
  static constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};
  return kSymbols[static_cast<std::size_t>(op)];
}

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

bool IsList(const Value& value) {
  return value.AsSequence() != nullptr && value.AsSequence()->kind == SequenceKind::kList;
}
bool IsTuple(const Value& value) {
  return value.AsSequence() != nullptr && value.AsSequence()->kind == SequenceKind::kTuple;
}

// --- Comparison ---

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

// --- Arithmetic ---

Result<Value> IntegerPower(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return InvalidArgument("0 cannot be raised to a negative power");
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  std::int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return Overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return Overflow();
  }
  return Value(result);
}

// Python rounds quotients towards minus infinity, and the remainder has the sign of the divisor.
Result<Value> IntegerFloorDivision(std::int64_t a, std::int64_t b, bool wants_remainder) {
  if (b == 0) return InvalidArgument("integer division or modulo by zero");
  if (b == -1) {  // the only quotient that may not fit
    if (wants_remainder) return Value(0);
    if (a == std::numeric_limits<std::int64_t>::min()) return Overflow();
    return Value(-a);
  }
  const std::int64_t remainder = a % b;
  const bool rounds_down = remainder != 0 && (remainder < 0) != (b < 0);
  if (wants_remainder) return Value(rounds_down ? remainder + b : remainder);
  return Value(a / b - (rounds_down ? 1 : 0));
}

Result<Value> IntegerArithmetic(ArithmeticOperator op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  switch (op) {
    case ArithmeticOperator::kAdd:
      return __builtin_add_overflow(a, b, &result) ? Result<Value>(Overflow()) : Value(result);
    case ArithmeticOperator::kSubtract:
      return __builtin_sub_overflow(a, b, &result) ? Result<Value>(Overflow()) : Value(result);
    case ArithmeticOperator::kMultiply:
      return __builtin_mul_overflow(a, b, &result) ? Result<Value>(Overflow()) : Value(result);
    case ArithmeticOperator::kDivide:
      if (b == 0) return InvalidArgument("division by zero");
      return Value(static_cast<double>(a) / static_cast<double>(b));
    case ArithmeticOperator::kFloorDivide:
      return IntegerFloorDivision(a, b, /*wants_remainder=*/false);
    case ArithmeticOperator::kModulo:
      return IntegerFloorDivision(a, b, /*wants_remainder=*/true);
    case ArithmeticOperator::kPower:
      return IntegerPower(a, b);
  }
  return Internal("an unknown arithmetic operator");
}

double FloatRemainder(double a, double b) {
  const double remainder = std::fmod(a, b);
  if (remainder == 0) return std::copysign(0.0, b);
  return (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

Result<Value> FloatPower(double a, double b) {
  if (a == 0 && b < 0) return InvalidArgument("0.0 cannot be raised to a negative power");
  if (a < 0 && b != std::floor(b)) return InvalidArgument("complex numbers are not supported");
  const double result = std::pow(a, b);
  if (std::isinf(result) && !std::isinf(a) && !std::isinf(b))
    return InvalidArgument("numerical result out of range");
  return Value(result);
}

Result<Value> FloatArithmetic(ArithmeticOperator op, double a, double b) {
  const bool divides = op == ArithmeticOperator::kDivide || op == ArithmeticOperator::kFloorDivide ||
                       op == ArithmeticOperator::kModulo;
  if (divides && b == 0) return InvalidArgument("float division by zero");
  switch (op) {
    case ArithmeticOperator::kAdd:
      return Value(a + b);
    case ArithmeticOperator::kSubtract:
      return Value(a - b);
    case ArithmeticOperator::kMultiply:
      return Value(a * b);
    case ArithmeticOperator::kDivide:
      return Value(a / b);
    case ArithmeticOperator::kFloorDivide:
      return Value(std::floor((a - FloatRemainder(a, b)) / b + 0.5));
    case ArithmeticOperator::kModulo:
      return Value(FloatRemainder(a, b));
    case ArithmeticOperator::kPower:
      return FloatPower(a, b);
  }
  return Internal("an unknown arithmetic operator");
}

Result<Value> Add(Runtime& runtime, const Value& a, const Value& b) {
  if (a.AsString() != nullptr && b.AsString() != nullptr) {
    if (a.IsMarkup() || b.IsMarkup()) {
      ASSIGN_OR_RETURN(const Value left, EscapeText(runtime, a));
      ASSIGN_OR_RETURN(const Value right, EscapeText(runtime, b));
      RETURN_IF_ERROR(runtime.budget().Produce(left.AsString()->size() + right.AsString()->size()));
      return Value(Markup{*left.AsString() + *right.AsString()});
    }
    RETURN_IF_ERROR(runtime.budget().Produce(a.AsString()->size() + b.AsString()->size()));
    return Value(*a.AsString() + *b.AsString());
  }
  if ((IsList(a) && IsList(b)) || (IsTuple(a) && IsTuple(b))) {
    RETURN_IF_ERROR(runtime.budget().Step(a.AsSequence()->items.size() + b.AsSequence()->items.size()));
    List items = a.AsSequence()->items;
    items.insert(items.end(), b.AsSequence()->items.begin(), b.AsSequence()->items.end());
    return Value(a.AsSequence()->kind, std::move(items));
  }
  return UnsupportedOperands("+", a, b);
}

// Text or items, `count` times over.
Result<Value> Repeat(Runtime& runtime, const Value& value, std::int64_t count) {
  const std::size_t times = count < 0 ? 0 : static_cast<std::size_t>(count);
  const std::size_t size =
      value.AsString() != nullptr ? value.AsString()->size() : value.AsSequence()->items.size();
  std::size_t total = 0;
  if (__builtin_mul_overflow(size, times, &total)) total = std::numeric_limits<std::size_t>::max();
  if (const std::string* text = value.AsString()) {
    RETURN_IF_ERROR(runtime.budget().Produce(total));
    std::string repeated;
    repeated.reserve(total);
    while (repeated.size() < total) repeated += *text;
    return LikeText(value, std::move(repeated));
  }
  RETURN_IF_ERROR(runtime.budget().Step(total));
  List repeated;
  const List& items = value.AsSequence()->items;
  while (repeated.size() < total) repeated.insert(repeated.end(), items.begin(), items.end());
  return Value(value.AsSequence()->kind, std::move(repeated));
}

Result<Value> Multiply(Runtime& runtime, const Value& a, const Value& b) {
  const auto is_repeatable = [](const Value& v) {
    return v.AsString() != nullptr || IsList(v) || IsTuple(v);
  };
  if (is_repeatable(a) && IntegerOf(b)) return Repeat(runtime, a, *IntegerOf(b));
  if (is_repeatable(b) && IntegerOf(a)) return Repeat(runtime, b, *IntegerOf(a));
  return UnsupportedOperands("*", a, b);
}

Result<std::shared_ptr<const Sequence>> Characters(Runtime& runtime, std::string_view text) {
  RETURN_IF_ERROR(runtime.budget().Step(text.size()));
  const CharacterIndex index(text);
  auto sequence = std::make_shared<Sequence>();
  sequence->items.reserve(index.size());
  for (std::size_t i = 0; i < index.size(); ++i) sequence->items.emplace_back(std::string(index.At(i)));
  return std::shared_ptr<const Sequence>(std::move(sequence));
}

}  // namespace

std::string TypeName(const Value& value) {
  if (value.IsNone()) return "NoneType";
  if (value.AsBool() != nullptr) return "bool";
  if (value.AsInt() != nullptr) return "int";
  if (value.AsFloat() != nullptr) return "float";
  if (value.AsString() != nullptr) return "str";
  if (value.AsMapping() != nullptr) return "dict";
  if (value.AsUndefined() != nullptr) return "Undefined";
  if (const Sequence* sequence = value.AsSequence()) {
    static constexpr const char* kNames[] = {"list",      "tuple",       "range",     "generator",
                                             "dict_keys", "dict_values", "dict_items"};
    return kNames[static_cast<std::size_t>(sequence->kind)];
  }
  return value.AsObject()->Describe();
}

Status CheckDefined(const Value& value) {
  const Undefined* undefined = value.AsUndefined();
  return undefined == nullptr ? OkStatus() : InvalidArgument(*undefined->reason);
}

Value LikeText(const Value& original, std::string text) {
  return original.IsMarkup() ? Value(Markup{std::move(text)}) : Value(std::move(text));
}

Result<Value> EscapeText(Runtime& runtime, const Value& value) {
  if (value.IsMarkup()) return value;
  static constexpr std::string_view kSpecial = "&<>'\"";
  static constexpr std::string_view kEntities[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
  ASSIGN_OR_RETURN(const Value text, ToText(runtime, value));
  RETURN_IF_ERROR(runtime.budget().Produce(text.AsString()->size() * 5));
  std::string escaped;
  for (char c : *text.AsString()) {
    const std::size_t special = kSpecial.find(c);
    if (special == std::string_view::npos) {
      escaped += c;
    } else {
      escaped += kEntities[special];
    }
  }
  return Value(Markup{std::move(escaped)});
}

bool IsTrue(const Value& value) {
  if (const bool* v = value.AsBool()) return *v;
  if (const std::int64_t* v = value.AsInt()) return *v != 0;
  if (const double* v = value.AsFloat()) return *v != 0;
  if (const std::string* v = value.AsString()) return !v->empty();
  if (const Sequence* v = value.AsSequence()) return v->kind == SequenceKind::kGenerator || !v->items.empty();
  if (const Mapping* v = value.AsMapping()) return !v->items.empty();
  return value.AsObject() != nullptr;
}

std::optional<std::int64_t> IntegerOf(const Value& value) {
  if (const bool* v = value.AsBool()) return *v ? 1 : 0;
  if (const std::int64_t* v = value.AsInt()) return *v;
  return std::nullopt;
}

std::optional<double> NumberOf(const Value& value) {
  if (const double* v = value.AsFloat()) return *v;
  if (const std::optional<std::int64_t> v = IntegerOf(value)) return static_cast<double>(*v);
  return std::nullopt;
}

std::optional<std::int64_t> Truncate(double value) {
  constexpr double kLimit = 9223372036854775808.0;  // 2^63
  if (!(value > -kLimit && value < kLimit)) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

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

Result<Value> Arithmetic(Runtime& runtime, ArithmeticOperator op, const Value& a, const Value& b) {
  RETURN_IF_ERROR(CheckDefined(a));
  if (op == ArithmeticOperator::kModulo && a.AsString() != nullptr) return FormatPercent(runtime, a, b);
  RETURN_IF_ERROR(CheckDefined(b));
  if (IntegerOf(a) && IntegerOf(b)) return IntegerArithmetic(op, *IntegerOf(a), *IntegerOf(b));
  if (NumberOf(a) && NumberOf(b)) return FloatArithmetic(op, *NumberOf(a), *NumberOf(b));
  if (op == ArithmeticOperator::kAdd) return Add(runtime, a, b);
  if (op == ArithmeticOperator::kMultiply) return Multiply(runtime, a, b);
  return UnsupportedOperands(SymbolOf(op), a, b);
}

Result<Value> Negate(const Value& value) {
  RETURN_IF_ERROR(CheckDefined(value));
  if (const std::optional<std::int64_t> integer = IntegerOf(value)) {
    return IntegerArithmetic(ArithmeticOperator::kSubtract, 0, *integer);
  }
  if (const double* number = value.AsFloat()) return Value(-*number);
  return InvalidArgument("'" + TypeName(value) + "' cannot be negated");
}

Result<std::shared_ptr<const Sequence>> Items(Runtime& runtime, const Value& value) {
  if (const Sequence* sequence = value.AsSequence()) {
    if (sequence->kind != SequenceKind::kGenerator) return value.SharedSequence();
    const std::size_t taken = std::exchange(sequence->taken, sequence->items.size());
    if (taken == 0) return value.SharedSequence();
    RETURN_IF_ERROR(runtime.budget().Step(sequence->items.size() - taken));
    auto rest = std::make_shared<Sequence>();
    rest->items.assign(sequence->items.begin() + static_cast<std::ptrdiff_t>(taken), sequence->items.end());
    rest->depth = sequence->depth;
    return std::shared_ptr<const Sequence>(std::move(rest));
  }
  if (const std::string* text = value.AsString()) return Characters(runtime, *text);
  if (value.AsUndefined() != nullptr) return std::make_shared<const Sequence>();
  const Mapping* mapping = value.AsMapping();
  if (mapping == nullptr) return InvalidArgument("'" + TypeName(value) + "' cannot be iterated over");
  RETURN_IF_ERROR(runtime.budget().Step(mapping->items.size()));
  auto keys = std::make_shared<Sequence>();
  for (const auto& [key, item] : mapping->items) keys->items.emplace_back(key);
  return std::shared_ptr<const Sequence>(std::move(keys));
}

Result<std::int64_t> Length(Runtime& runtime, const Value& value) {
  if (const std::string* text = value.AsString()) {
    RETURN_IF_ERROR(runtime.budget().Scan(text->size()));
    return static_cast<std::int64_t>(CountCharacters(*text));
  }
  if (const Mapping* mapping = value.AsMapping()) return static_cast<std::int64_t>(mapping->items.size());
  if (value.AsUndefined() != nullptr) return std::int64_t{0};
  const Sequence* sequence = value.AsSequence();
  if (sequence == nullptr || sequence->kind == SequenceKind::kGenerator) {
    return InvalidArgument("'" + TypeName(value) + "' has no length");
  }
  return static_cast<std::int64_t>(sequence->items.size());
}

}  // namespace reprise::chat_template
