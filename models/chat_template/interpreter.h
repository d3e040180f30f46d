// Runs a syntax tree over variables.
#pragma once

#include <cstddef>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "models/chat_template/ast.h"
#include "models/chat_template/chat_template.h"
#include "models/chat_template/runtime.h"
#include "models/chat_template/scope.h"

namespace reprise::chat_template {

class Loop;

// One render: made, run once, thrown away.
class Interpreter {
 public:
  Interpreter(const ChatTemplateLimits& limits, std::time_t now) : runtime_(limits, now) {}

  // `body` and `variables` outlive the call. An error has no position in its message; error_offset() has.
  Result<std::string> Run(const Body& body, const Dict& variables);

  // Where in the source the error that Run returned arose.
  std::size_t error_offset() const { return error_offset_.value_or(0); }
  // Whether it is the template's own, from raise_exception.
  bool raised() const { return runtime_.raised(); }

 private:
  class Macro;
  enum class Flow { kNext, kBreak, kContinue };

  // Statements.
  Result<Flow> ExecuteBody(const Body& body);
  Result<Flow> Execute(const Stmt& statement);
  Result<Flow> Dispatch(const Stmt& statement);
  Result<Flow> ExecuteIf(const IfStmt& statement);
  Result<Flow> ExecuteFor(const ForStmt& statement);
  Status RunLoop(const ForStmt& statement, const ScopePtr& outer, const Value& iterable, int depth);
  Result<Flow> ExecuteSetBlock(const SetBlockStmt& statement);
  Result<Flow> ExecuteCallBlock(const CallBlockStmt& statement);
  Result<Flow> ExecuteFilterBlock(const FilterBlockStmt& statement);
  Result<Flow> ExecuteWith(const WithStmt& statement);
  Status Print(const Value& value);
  Status Assign(const Target& target, const Value& value);
  Status Unpack(const Target& target, const Value& value);
  Result<Value> MakeMacro(const MacroDefinition& definition);
  Result<Value> CallMacro(const MacroDefinition& definition, const ScopePtr& outer,
                          const CallArguments& arguments);
  Status BindParameters(const MacroDefinition& definition, const CallArguments& arguments);
  // What `produce` prints, in a scope within `outer`.
  Result<std::string> Capture(const ScopePtr& outer, const std::function<Result<Flow>()>& produce,
                              Flow* flow);

  // Expressions.
  Result<Value> Evaluate(const Expr& expr);
  Result<Value> Dispatch(const Expr& expr);
  Result<Value> EvaluateOptional(const ExprPtr& expr);  // null is None
  Result<bool> EvaluateCondition(const Expr& expr);
  Result<Value> EvaluateName(const NameExpr& expr);
  Result<List> EvaluateItems(const ItemsExpr& expr);
  Result<Value> EvaluateDict(const DictExpr& expr);
  Result<Value> EvaluateSubscript(const SubscriptExpr& expr);
  Result<Value> EvaluateSlice(const SliceExpr& expr);
  Result<Value> EvaluateCall(const CallExpr& expr, const Value* caller = nullptr);
  Result<Value> EvaluateUnary(const UnaryExpr& expr);
  Result<Value> EvaluateArithmetic(const ArithmeticExpr& expr);
  Result<Value> EvaluateConcat(const ItemsExpr& expr);
  Result<Value> EvaluateLogic(const LogicExpr& expr);
  Result<Value> EvaluateCompare(const CompareExpr& expr);
  Result<Value> EvaluateConditional(const ConditionalExpr& expr);
  Result<Value> EvaluateTest(const TestExpr& expr);
  Result<Value> ApplyFilter(const FilterApplication& filter, const Value& input);
  Result<Value> ApplyFilters(const std::vector<FilterApplication>& filters, Value value);
  Result<CallArguments> EvaluateArguments(const ArgumentExprs& arguments);

  // Remembers the innermost place of an error; errors are never caught inside a template.
  void NoteError(std::size_t offset) {
    if (!error_offset_) error_offset_ = offset;
  }

  Runtime runtime_;
  ScopePtr scope_;
  std::string* out_ = nullptr;
  std::optional<std::size_t> error_offset_;
};

}  // namespace reprise::chat_template
