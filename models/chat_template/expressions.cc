// The Interpreter's expressions.
#include <string>
#include <utility>

#include "models/chat_template/attributes.h"
#include "models/chat_template/formatting.h"
#include "models/chat_template/interpreter.h"
#include "models/chat_template/operators.h"

namespace reprise::chat_template {

Result<Value> Interpreter::Evaluate(const Expr& expr) {
  const DepthGuard depth(runtime_.budget());
  Result<Value> value = depth.status().ok() ? Dispatch(expr) : Result<Value>(depth.status());
  if (!value.ok()) NoteError(expr.offset);
  return value;
}

Result<Value> Interpreter::Dispatch(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kLiteral:
      return static_cast<const LiteralExpr&>(expr).value;
    case ExprKind::kName:
      return EvaluateName(static_cast<const NameExpr&>(expr));
    case ExprKind::kTuple:
    case ExprKind::kList: {
      ASSIGN_OR_RETURN(List items, EvaluateItems(static_cast<const ItemsExpr&>(expr)));
      const auto kind = expr.kind == ExprKind::kList ? SequenceKind::kList : SequenceKind::kTuple;
      return runtime_.MakeSequence(kind, std::move(items));
    }
    case ExprKind::kDict:
      return EvaluateDict(static_cast<const DictExpr&>(expr));
    case ExprKind::kAttribute: {
      const auto& attribute = static_cast<const AttributeExpr&>(expr);
      ASSIGN_OR_RETURN(const Value object, Evaluate(*attribute.object));
      return GetAttribute(runtime_, object, attribute.name);
    }
    case ExprKind::kSubscript:
      return EvaluateSubscript(static_cast<const SubscriptExpr&>(expr));
    case ExprKind::kSlice:
      return EvaluateSlice(static_cast<const SliceExpr&>(expr));
    case ExprKind::kCall:
      return EvaluateCall(static_cast<const CallExpr&>(expr));
    case ExprKind::kFilter: {
      const auto& filter = static_cast<const FilterExpr&>(expr);
      ASSIGN_OR_RETURN(const Value input, Evaluate(*filter.input));
      return ApplyFilter(filter.filter, input);
    }
    case ExprKind::kTest:
      return EvaluateTest(static_cast<const TestExpr&>(expr));
    case ExprKind::kUnary:
      return EvaluateUnary(static_cast<const UnaryExpr&>(expr));
    case ExprKind::kArithmetic:
      return EvaluateArithmetic(static_cast<const ArithmeticExpr&>(expr));
    case ExprKind::kConcat:
      return EvaluateConcat(static_cast<const ItemsExpr&>(expr));
    case ExprKind::kLogic:
      return EvaluateLogic(static_cast<const LogicExpr&>(expr));
    case ExprKind::kCompare:
      return EvaluateCompare(static_cast<const CompareExpr&>(expr));
    case ExprKind::kConditional:
      return EvaluateConditional(static_cast<const ConditionalExpr&>(expr));
  }
  return Internal("an unknown kind of expression");
}

Result<Value> Interpreter::EvaluateOptional(const ExprPtr& expr) {
  return expr == nullptr ? Result<Value>(Value()) : Evaluate(*expr);
}

Result<bool> Interpreter::EvaluateCondition(const Expr& expr) {
  ASSIGN_OR_RETURN(const Value value, Evaluate(expr));
  return IsTrue(value);
}

Result<Value> Interpreter::EvaluateName(const NameExpr& expr) {
  const Value* value = scope_->Find(expr.name);
  return value == nullptr ? MakeUndefined("'" + expr.name + "' is undefined") : *value;
}

Result<List> Interpreter::EvaluateItems(const ItemsExpr& expr) {
  List items;
  items.reserve(expr.items.size());
  for (const ExprPtr& item : expr.items) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*item));
    items.push_back(std::move(value));
  }
  return items;
}

Result<Value> Interpreter::EvaluateDict(const DictExpr& expr) {
  Entries entries;
  for (const auto& [key_expr, value_expr] : expr.items) {
    ASSIGN_OR_RETURN(const Value key, Evaluate(*key_expr));
    ASSIGN_OR_RETURN(Value value, Evaluate(*value_expr));
    RETURN_IF_ERROR(SetKey(runtime_, &entries, key, std::move(value)));
  }
  return runtime_.MakeMapping(std::move(entries));
}

Result<Value> Interpreter::EvaluateSubscript(const SubscriptExpr& expr) {
  ASSIGN_OR_RETURN(const Value object, Evaluate(*expr.object));
  ASSIGN_OR_RETURN(const Value index, Evaluate(*expr.index));
  return GetElement(runtime_, object, index);
}

Result<Value> Interpreter::EvaluateSlice(const SliceExpr& expr) {
  ASSIGN_OR_RETURN(const Value object, Evaluate(*expr.object));
  ASSIGN_OR_RETURN(const Value start, EvaluateOptional(expr.start));
  ASSIGN_OR_RETURN(const Value stop, EvaluateOptional(expr.stop));
  ASSIGN_OR_RETURN(const Value step, EvaluateOptional(expr.step));
  return GetSlice(runtime_, object, start, stop, step);
}

Result<CallArguments> Interpreter::EvaluateArguments(const ArgumentExprs& arguments) {
  CallArguments values;
  for (const ExprPtr& argument : arguments.positional) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*argument));
    values.positional.push_back(std::move(value));
  }
  if (arguments.star != nullptr) {
    ASSIGN_OR_RETURN(const Value star, Evaluate(*arguments.star));
    ASSIGN_OR_RETURN(const std::shared_ptr<const Sequence> items, Items(runtime_, star));
    RETURN_IF_ERROR(runtime_.budget().Step(items->items.size()));
    values.positional.insert(values.positional.end(), items->items.begin(), items->items.end());
  }
  for (const auto& [name, argument] : arguments.keyword) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*argument));
    values.keyword.emplace_back(name, std::move(value));
  }
  if (arguments.double_star != nullptr) {
    ASSIGN_OR_RETURN(const Value mapping, Evaluate(*arguments.double_star));
    if (mapping.AsMapping() == nullptr)
      return InvalidArgument("'**' needs a dict, not '" + TypeName(mapping) + "'");
    RETURN_IF_ERROR(runtime_.budget().Step(mapping.AsMapping()->items.size()));
    for (const auto& [name, value] : mapping.AsMapping()->items) {
      if (name.AsString() == nullptr)
        return InvalidArgument("the names of keyword arguments must be strings");
      values.keyword.emplace_back(*name.AsString(), value);
    }
  }
  return values;
}

// `caller` is the body of a call block, passed on as a keyword argument.
Result<Value> Interpreter::EvaluateCall(const CallExpr& expr, const Value* caller) {
  Value callee;
  MethodFunction method = nullptr;
  if (expr.callee->kind == ExprKind::kAttribute) {
    // A method that is called right away needs no object of its own.
    const auto& attribute = static_cast<const AttributeExpr&>(*expr.callee);
    ASSIGN_OR_RETURN(callee, Evaluate(*attribute.object));
    method = FindMethod(callee, attribute.name);
    if (method == nullptr) {
      ASSIGN_OR_RETURN(callee, GetAttribute(runtime_, callee, attribute.name));
    }
  } else {
    ASSIGN_OR_RETURN(callee, Evaluate(*expr.callee));
  }
  if (method == nullptr) {
    RETURN_IF_ERROR(CheckDefined(callee));
    if (!IsCallable(callee)) return InvalidArgument("'" + TypeName(callee) + "' is not callable");
  }
  ASSIGN_OR_RETURN(CallArguments arguments, EvaluateArguments(expr.arguments));
  if (caller != nullptr) arguments.keyword.emplace_back("caller", *caller);
  return method != nullptr ? method(runtime_, callee, arguments) : callee.AsObject()->Call(arguments);
}

Result<Value> Interpreter::EvaluateUnary(const UnaryExpr& expr) {
  ASSIGN_OR_RETURN(const Value operand, Evaluate(*expr.operand));
  if (expr.unary_operator == UnaryOperator::kNot) return Value(!IsTrue(operand));
  ASSIGN_OR_RETURN(const Value negated, Negate(operand));
  return expr.unary_operator == UnaryOperator::kMinus ? negated : Negate(negated);
}

Result<Value> Interpreter::EvaluateArithmetic(const ArithmeticExpr& expr) {
  ASSIGN_OR_RETURN(Value value, Evaluate(*expr.first));
  for (const ArithmeticExpr::Link& link : expr.links) {
    ASSIGN_OR_RETURN(const Value operand, Evaluate(*link.operand));
    Result<Value> result = Arithmetic(runtime_, link.link_operator, value, operand);
    if (!result.ok()) NoteError(link.offset);
    ASSIGN_OR_RETURN(value, std::move(result));
  }
  return value;
}

Result<Value> Interpreter::EvaluateConcat(const ItemsExpr& expr) {
  ASSIGN_OR_RETURN(const List items, EvaluateItems(expr));
  std::string text;
  for (const Value& item : items) RETURN_IF_ERROR(AppendText(runtime_, item, &text));
  return Value(std::move(text));
}

// The value that decides, as in Python: `'' or 'x'` is 'x'.
Result<Value> Interpreter::EvaluateLogic(const LogicExpr& expr) {
  ASSIGN_OR_RETURN(Value value, Evaluate(*expr.first));
  for (const LogicExpr::Link& link : expr.links) {
    if (IsTrue(value) == (link.link_operator == LogicOperator::kOr)) break;
    ASSIGN_OR_RETURN(value, Evaluate(*link.operand));
  }
  return value;
}

// a < b < c is a < b and b < c, with b evaluated once.
Result<Value> Interpreter::EvaluateCompare(const CompareExpr& expr) {
  ASSIGN_OR_RETURN(Value left, Evaluate(*expr.first));
  for (const CompareExpr::Link& link : expr.links) {
    ASSIGN_OR_RETURN(Value right, Evaluate(*link.operand));
    Result<bool> holds = Compare(runtime_, link.link_operator, left, right);
    if (!holds.ok()) NoteError(link.offset);
    ASSIGN_OR_RETURN(const bool is_true, std::move(holds));
    if (!is_true) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result<Value> Interpreter::EvaluateConditional(const ConditionalExpr& expr) {
  ASSIGN_OR_RETURN(const bool condition, EvaluateCondition(*expr.condition));
  if (condition) return Evaluate(*expr.value);
  if (expr.otherwise != nullptr) return Evaluate(*expr.otherwise);
  return MakeUndefined("the condition of this inline 'if' is false and it has no 'else'");
}

Result<Value> Interpreter::EvaluateTest(const TestExpr& expr) {
  ASSIGN_OR_RETURN(const Value input, Evaluate(*expr.input));
  if (expr.test.function == nullptr) return InvalidArgument("no test named '" + expr.test.name + "'");
  ASSIGN_OR_RETURN(const CallArguments arguments, EvaluateArguments(expr.test.arguments));
  ASSIGN_OR_RETURN(const bool passes, expr.test.function(runtime_, input, arguments));
  return Value(passes);
}

Result<Value> Interpreter::ApplyFilter(const FilterApplication& filter, const Value& input) {
  if (filter.function == nullptr) return InvalidArgument("no filter named '" + filter.name + "'");
  ASSIGN_OR_RETURN(const CallArguments arguments, EvaluateArguments(filter.arguments));
  return filter.function(runtime_, input, arguments);
}

Result<Value> Interpreter::ApplyFilters(const std::vector<FilterApplication>& filters, Value value) {
  for (const FilterApplication& filter : filters) {
    ASSIGN_OR_RETURN(value, ApplyFilter(filter, value));
  }
  return value;
}

}  // namespace reprise::chat_template
