// Arithmetic, concatenation and repetition.
#include <cmath>
#include <limits>
#include <utility>

#include "models/chat_template/operators.h"
#include "models/chat_template/string_format.h"

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

}  // namespace

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

}  // namespace reprise::chat_template
