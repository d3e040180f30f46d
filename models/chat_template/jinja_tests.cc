// The tests of `value is test`.
#include <optional>
#include <string>

#include "models/chat_template/arguments.h"
#include "models/chat_template/formatting.h"
#include "models/chat_template/function_tables.h"
#include "models/chat_template/operators.h"
#include "models/chat_template/runtime.h"

namespace reprise::chat_template {
namespace {

// A test without arguments that cannot fail.
template <bool (*predicate)(const Value&)>
Result<bool> Simple(Runtime&, const Value& input, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("this test", {}, 0, arguments).status());
  return predicate(input);
}

bool IsDefined(const Value& v) {
  return v.AsUndefined() == nullptr;
}
bool IsUndefined(const Value& v) {
  return v.AsUndefined() != nullptr;
}
bool IsNoneTest(const Value& v) {
  return v.IsNone();
}
bool IsBoolean(const Value& v) {
  return v.AsBool() != nullptr;
}
bool IsTrueTest(const Value& v) {
  return v.AsBool() != nullptr && *v.AsBool();
}
bool IsFalseTest(const Value& v) {
  return v.AsBool() != nullptr && !*v.AsBool();
}
bool IsInteger(const Value& v) {
  return v.AsInt() != nullptr;
}
bool IsFloat(const Value& v) {
  return v.AsFloat() != nullptr;
}
bool IsNumber(const Value& v) {
  return NumberOf(v).has_value();
}
bool IsString(const Value& v) {
  return v.AsString() != nullptr;
}
bool IsMapping(const Value& v) {
  return v.AsMapping() != nullptr;
}
bool IsIterable(const Value& v) {
  return v.AsString() != nullptr || v.AsSequence() != nullptr || v.AsMapping() != nullptr ||
         v.AsUndefined() != nullptr;
}
bool IsSequence(const Value& v) {
  const bool has_no_elements = v.AsSequence() != nullptr && v.AsSequence()->kind > SequenceKind::kRange;
  return IsIterable(v) && !has_no_elements;
}
// Undefined values count, though a call of one fails.
bool IsCallableTest(const Value& v) {
  return IsCallable(v) || IsUndefined(v);
}
// Nothing is, without automatic escaping.
bool IsEscaped(const Value&) {
  return false;
}

Result<std::int64_t> Remainder(Runtime& runtime, const Value& value, const Value& divisor) {
  RETURN_IF_ERROR(CheckDefined(value));
  if (!IntegerOf(value)) return InvalidArgument("this test needs an integer, not '" + TypeName(value) + "'");
  ASSIGN_OR_RETURN(const Value remainder, Arithmetic(runtime, ArithmeticOperator::kModulo, value, divisor));
  return IntegerOf(remainder).value_or(1);
}

template <std::int64_t remainder>
Result<bool> Parity(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("this test", {}, 0, arguments).status());
  ASSIGN_OR_RETURN(const std::int64_t actual, Remainder(runtime, input, 2));
  return actual == remainder;
}

Result<bool> DivisibleBy(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("divisibleby", {"num"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::int64_t actual, Remainder(runtime, input, *bound[0]));
  return actual == 0;
}

template <CompareOperator op>
Result<bool> Comparison(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("a comparison", {"other"}, 1, arguments));
  return Compare(runtime, op, input, *bound[0]);
}

// Identity, which for values that cannot change is equality within one type.
Result<bool> SameAs(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("sameas", {"other"}, 1, arguments));
  const Value& other = *bound[0];
  if (input.AsSequence() != nullptr || input.AsMapping() != nullptr) {
    return input.AsSequence() == other.AsSequence() && input.AsMapping() == other.AsMapping();
  }
  if (TypeName(input) != TypeName(other)) return false;
  return Equal(runtime, input, other);
}

template <bool (*find)(std::string_view)>
Result<bool> Exists(Runtime&, const Value& input, const CallArguments&) {
  return input.AsString() != nullptr && find(*input.AsString());
}
bool FilterExists(std::string_view name) {
  return FindFilter(name) != nullptr;
}
bool TestExists(std::string_view name) {
  return FindTest(name) != nullptr;
}

template <bool upper>
Result<bool> Cased(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const Value text, ToText(runtime, input));
  ASSIGN_OR_RETURN(const Value result,
                   FindStringMethod(upper ? "isupper" : "islower")(runtime, text, arguments));
  return IsTrue(result);
}

constexpr NamedFunction<TestFunction> kTests[] = {
    {"defined", Simple<IsDefined>},
    {"undefined", Simple<IsUndefined>},
    {"none", Simple<IsNoneTest>},
    {"boolean", Simple<IsBoolean>},
    {"true", Simple<IsTrueTest>},
    {"false", Simple<IsFalseTest>},
    {"integer", Simple<IsInteger>},
    {"float", Simple<IsFloat>},
    {"number", Simple<IsNumber>},
    {"string", Simple<IsString>},
    {"mapping", Simple<IsMapping>},
    {"iterable", Simple<IsIterable>},
    {"sequence", Simple<IsSequence>},
    {"callable", Simple<IsCallableTest>},
    {"escaped", Simple<IsEscaped>},
    {"odd", Parity<1>},
    {"even", Parity<0>},
    {"divisibleby", DivisibleBy},
    {"lower", Cased<false>},
    {"upper", Cased<true>},
    {"sameas", SameAs},
    {"filter", Exists<FilterExists>},
    {"test", Exists<TestExists>},
    {"in", Comparison<CompareOperator::kIn>},
    {"==", Comparison<CompareOperator::kEqual>},
    {"eq", Comparison<CompareOperator::kEqual>},
    {"equalto", Comparison<CompareOperator::kEqual>},
    {"!=", Comparison<CompareOperator::kNotEqual>},
    {"ne", Comparison<CompareOperator::kNotEqual>},
    {">", Comparison<CompareOperator::kGreater>},
    {"gt", Comparison<CompareOperator::kGreater>},
    {"greaterthan", Comparison<CompareOperator::kGreater>},
    {">=", Comparison<CompareOperator::kGreaterEqual>},
    {"ge", Comparison<CompareOperator::kGreaterEqual>},
    {"<", Comparison<CompareOperator::kLess>},
    {"lt", Comparison<CompareOperator::kLess>},
    {"lessthan", Comparison<CompareOperator::kLess>},
    {"<=", Comparison<CompareOperator::kLessEqual>},
    {"le", Comparison<CompareOperator::kLessEqual>},
};

}  // namespace

TestFunction FindTest(std::string_view name) {
  return FindByName(kTests, name);
}

}  // namespace reprise::chat_template
