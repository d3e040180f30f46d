#include "models/chat_template/interpreter.h"

#include <algorithm>
#include <utility>

#include "models/chat_template/attributes.h"
#include "models/chat_template/formatting.h"
#include "models/chat_template/globals.h"
#include "models/chat_template/loop.h"
#include "models/chat_template/operators.h"

namespace reprise::chat_template {

// A macro, or the body of a call block, with the scope it was defined in.
class Interpreter::Macro : public Object {
 public:
  Macro(Interpreter& interpreter, const MacroDefinition& definition, ScopePtr scope)
      : interpreter_(interpreter), definition_(definition), scope_(std::move(scope)) {}
  std::string Describe() const override {
    return "Macro " + (definition_.name.empty() ? "anonymous" : QuoteText(definition_.name));
  }
  Result<std::optional<Value>> Attribute(std::string_view name) override {
    return name == "name" ? std::optional<Value>(definition_.name) : std::nullopt;
  }
  bool IsCallable() const override { return true; }
  Result<Value> Call(const CallArguments& arguments) override {
    return interpreter_.CallMacro(definition_, scope_, arguments);
  }

 private:
  Interpreter& interpreter_;
  const MacroDefinition& definition_;
  const ScopePtr scope_;
};

Result<std::string> Interpreter::Run(const Body& body, const Dict& variables) {
  ASSIGN_OR_RETURN(const Dict globals, MakeGlobals(runtime_));
  auto root = std::make_shared<Scope>(nullptr);
  for (const auto& [name, value] : globals) root->Set(name, value);
  for (const auto& [name, value] : variables) {
    RETURN_IF_ERROR(runtime_.budget().CheckDepth(value.Depth()));
    root->Set(name, value);
  }
  std::string out;
  out_ = &out;
  scope_ = std::make_shared<Scope>(root);
  RETURN_IF_ERROR(ExecuteBody(body).status());
  return out;
}

Result<Interpreter::Flow> Interpreter::ExecuteBody(const Body& body) {
  for (const StmtPtr& statement : body) {
    ASSIGN_OR_RETURN(const Flow flow, Execute(*statement));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::Execute(const Stmt& statement) {
  const DepthGuard depth(runtime_.budget());
  Result<Flow> flow = depth.status().ok() ? Dispatch(statement) : Result<Flow>(depth.status());
  if (!flow.ok()) NoteError(statement.offset);
  return flow;
}

Result<Interpreter::Flow> Interpreter::Dispatch(const Stmt& statement) {
  switch (statement.kind) {
    case StmtKind::kText:
      RETURN_IF_ERROR(Print(static_cast<const TextStmt&>(statement).text));
      return Flow::kNext;
    case StmtKind::kPrint: {
      ASSIGN_OR_RETURN(const Value value, Evaluate(*static_cast<const PrintStmt&>(statement).value));
      RETURN_IF_ERROR(Print(value));
      return Flow::kNext;
    }
    case StmtKind::kIf:
      return ExecuteIf(static_cast<const IfStmt&>(statement));
    case StmtKind::kFor:
      return ExecuteFor(static_cast<const ForStmt&>(statement));
    case StmtKind::kSet: {
      const auto& set = static_cast<const SetStmt&>(statement);
      ASSIGN_OR_RETURN(const Value value, Evaluate(*set.value));
      RETURN_IF_ERROR(Assign(set.target, value));
      return Flow::kNext;
    }
    case StmtKind::kSetBlock:
      return ExecuteSetBlock(static_cast<const SetBlockStmt&>(statement));
    case StmtKind::kMacro: {
      const MacroDefinition& definition = static_cast<const MacroStmt&>(statement).macro;
      ASSIGN_OR_RETURN(Value macro, MakeMacro(definition));
      scope_->Set(definition.name, std::move(macro));
      return Flow::kNext;
    }
    case StmtKind::kCallBlock:
      return ExecuteCallBlock(static_cast<const CallBlockStmt&>(statement));
    case StmtKind::kFilterBlock:
      return ExecuteFilterBlock(static_cast<const FilterBlockStmt&>(statement));
    case StmtKind::kWith:
      return ExecuteWith(static_cast<const WithStmt&>(statement));
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Internal("an unknown kind of statement");
}

Status Interpreter::Print(const Value& value) {
  return AppendText(runtime_, value, out_);
}

Result<Interpreter::Flow> Interpreter::ExecuteIf(const IfStmt& statement) {
  for (const IfStmt::Branch& branch : statement.branches) {
    bool taken = true;
    if (branch.condition != nullptr) {
      ASSIGN_OR_RETURN(taken, EvaluateCondition(*branch.condition));
    }
    if (taken) return ExecuteBody(branch.body);
  }
  return Flow::kNext;
}

// --- Loops ---

Result<Interpreter::Flow> Interpreter::ExecuteFor(const ForStmt& statement) {
  ASSIGN_OR_RETURN(const Value iterable, Evaluate(*statement.iterable));
  RETURN_IF_ERROR(RunLoop(statement, scope_, iterable, /*depth=*/0));
  return Flow::kNext;
}

// Leaves the current scope as it was, unless there is an error, which ends the render.
Status Interpreter::RunLoop(const ForStmt& statement, const ScopePtr& outer, const Value& iterable,
                            int depth) {
  const ScopePtr saved = scope_;
  ASSIGN_OR_RETURN(std::shared_ptr<const Sequence> items, Items(runtime_, iterable));
  Loop::Filter filter;
  if (statement.filter != nullptr) {
    filter = [this, &statement, outer](const Value& item) -> Result<bool> {
      const ScopePtr body_scope = std::exchange(scope_, std::make_shared<Scope>(outer));
      RETURN_IF_ERROR(Assign(statement.target, item));
      ASSIGN_OR_RETURN(const bool passes, EvaluateCondition(*statement.filter));
      scope_ = body_scope;
      return passes;
    };
  }
  Loop::Recurse recurse;
  if (statement.is_recursive) {
    recurse = [this, &statement, outer](const Value& inner, int inner_depth) -> Result<Value> {
      Flow flow;
      const auto produce = [&]() -> Result<Flow> {
        RETURN_IF_ERROR(RunLoop(statement, outer, inner, inner_depth));
        return Flow::kNext;
      };
      ASSIGN_OR_RETURN(std::string text, Capture(outer, produce, &flow));
      return Value(std::move(text));
    };
  }
  ASSIGN_OR_RETURN(Loop * loop,
                   runtime_.MakeObject<Loop>(runtime_, std::move(items), filter, recurse, depth));
  // As in Jinja, `else` also runs when every turn ended early.
  bool runs_else = true;
  scope_ = std::make_shared<Scope>(outer);
  for (Flow flow = Flow::kNext; flow != Flow::kBreak;) {
    ASSIGN_OR_RETURN(const bool has_item, loop->Advance());
    if (!has_item) break;
    // A macro of the last turn may still hold its scope.
    if (scope_.use_count() == 1) {
      scope_->Clear();
    } else {
      scope_ = std::make_shared<Scope>(outer);
    }
    scope_->Set("loop", loop);
    RETURN_IF_ERROR(Assign(statement.target, loop->current()));
    ASSIGN_OR_RETURN(flow, ExecuteBody(statement.body));
    if (flow == Flow::kNext) runs_else = false;
  }
  scope_ = std::make_shared<Scope>(outer);
  if (runs_else) RETURN_IF_ERROR(ExecuteBody(statement.otherwise).status());
  scope_ = saved;
  return OkStatus();
}

// --- Assignment ---

Status Interpreter::Assign(const Target& target, const Value& value) {
  if (target.is_tuple) return Unpack(target, value);
  if (target.attribute.empty()) {
    scope_->Set(target.name, value);
    return OkStatus();
  }
  const Value* object = scope_->Find(target.name);
  auto* space = object == nullptr ? nullptr : dynamic_cast<Namespace*>(object->AsObject());
  if (space == nullptr) {
    NoteError(target.offset);
    return InvalidArgument("an attribute can only be set on a namespace, which '" + target.name + "' is not");
  }
  return space->Set(runtime_, target.attribute, value);
}

Status Interpreter::Unpack(const Target& target, const Value& value) {
  RETURN_IF_ERROR(CheckDefined(value));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Sequence> items, Items(runtime_, value));
  if (items->items.size() != target.items.size()) {
    NoteError(target.offset);
    return InvalidArgument(std::to_string(items->items.size()) + " values cannot be unpacked into " +
                           std::to_string(target.items.size()) + " names");
  }
  for (std::size_t i = 0; i < target.items.size(); ++i)
    RETURN_IF_ERROR(Assign(target.items[i], items->items[i]));
  return OkStatus();
}

// --- Blocks whose text is a value ---

Result<std::string> Interpreter::Capture(const ScopePtr& outer, const std::function<Result<Flow>()>& produce,
                                         Flow* flow) {
  std::string text;
  std::string* const saved_out = std::exchange(out_, &text);
  const ScopePtr saved_scope = std::exchange(scope_, std::make_shared<Scope>(outer));
  const Result<Flow> result = produce();
  out_ = saved_out;
  scope_ = saved_scope;
  RETURN_IF_ERROR(result.status());
  *flow = *result;
  return text;
}

Result<Interpreter::Flow> Interpreter::ExecuteSetBlock(const SetBlockStmt& statement) {
  Flow flow;
  ASSIGN_OR_RETURN(std::string text, Capture(
                                         scope_, [&] { return ExecuteBody(statement.body); }, &flow));
  if (flow != Flow::kNext) return flow;
  ASSIGN_OR_RETURN(const Value value, ApplyFilters(statement.filters, std::move(text)));
  RETURN_IF_ERROR(Assign(statement.target, value));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::ExecuteFilterBlock(const FilterBlockStmt& statement) {
  Flow flow;
  ASSIGN_OR_RETURN(std::string text, Capture(
                                         scope_, [&] { return ExecuteBody(statement.body); }, &flow));
  if (flow != Flow::kNext) return flow;
  ASSIGN_OR_RETURN(const Value value, ApplyFilters(statement.filters, std::move(text)));
  RETURN_IF_ERROR(Print(value));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::ExecuteWith(const WithStmt& statement) {
  auto inner = std::make_shared<Scope>(scope_);
  for (const auto& [target, expr] : statement.assignments) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*expr));
    inner->Set(target.name, std::move(value));
  }
  const ScopePtr outer = std::exchange(scope_, std::move(inner));
  ASSIGN_OR_RETURN(const Flow flow, ExecuteBody(statement.body));
  scope_ = outer;
  return flow;
}

// --- Macros ---

Result<Value> Interpreter::MakeMacro(const MacroDefinition& definition) {
  ASSIGN_OR_RETURN(Macro * macro, runtime_.MakeObject<Macro>(*this, definition, scope_));
  return Value(macro);
}

Result<Interpreter::Flow> Interpreter::ExecuteCallBlock(const CallBlockStmt& statement) {
  ASSIGN_OR_RETURN(const Value caller, MakeMacro(statement.caller));
  ASSIGN_OR_RETURN(const Value value, EvaluateCall(*statement.call, &caller));
  RETURN_IF_ERROR(Print(value));
  return Flow::kNext;
}

Result<Value> Interpreter::CallMacro(const MacroDefinition& definition, const ScopePtr& outer,
                                     const CallArguments& arguments) {
  Flow flow;
  const auto produce = [&]() -> Result<Flow> {
    RETURN_IF_ERROR(BindParameters(definition, arguments));
    return ExecuteBody(definition.body);
  };
  ASSIGN_OR_RETURN(std::string text, Capture(outer, produce, &flow));
  return Value(std::move(text));
}

// Sets the parameters in the current scope, and the special names that the body mentions.
Status Interpreter::BindParameters(const MacroDefinition& definition, const CallArguments& arguments) {
  Dict keyword = arguments.keyword;
  const auto take = [&keyword](std::string_view name) -> std::optional<Value> {
    auto found =
        std::find_if(keyword.begin(), keyword.end(), [&](const auto& item) { return item.first == name; });
    if (found == keyword.end()) return std::nullopt;
    Value value = std::move(found->second);
    keyword.erase(found);
    return value;
  };
  const std::string name = definition.name.empty() ? "the call block" : "macro '" + definition.name + "'";
  const auto& parameters = definition.parameters;
  const std::size_t given = arguments.positional.size();
  bool has_caller_parameter = false;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const MacroDefinition::Parameter& parameter = parameters[i];
    has_caller_parameter = has_caller_parameter || parameter.name == "caller";
    std::optional<Value> value = i < given ? arguments.positional[i] : take(parameter.name);
    if (!value && parameter.default_value != nullptr) {
      ASSIGN_OR_RETURN(value, Evaluate(*parameter.default_value));
    }
    scope_->Set(parameter.name,
                value ? *value : MakeUndefined("parameter '" + parameter.name + "' was not provided"));
  }
  if (definition.uses_caller && !has_caller_parameter) {
    const std::optional<Value> caller = take("caller");
    scope_->Set("caller", caller ? *caller : MakeUndefined("no caller defined"));
  }
  if (definition.uses_kwargs) {
    ASSIGN_OR_RETURN(Value rest, runtime_.MakeMapping(Entries(keyword.begin(), keyword.end())));
    scope_->Set("kwargs", std::move(rest));
    keyword.clear();
  }
  if (!keyword.empty()) return InvalidArgument(name + " has no parameter '" + keyword.front().first + "'");
  const std::size_t taken = std::min(given, parameters.size());
  if (definition.uses_varargs) {
    List rest(arguments.positional.begin() + static_cast<std::ptrdiff_t>(taken), arguments.positional.end());
    ASSIGN_OR_RETURN(Value varargs, runtime_.MakeSequence(SequenceKind::kTuple, std::move(rest)));
    scope_->Set("varargs", std::move(varargs));
  } else if (given > taken) {
    return InvalidArgument(name + " takes at most " + std::to_string(parameters.size()) + " arguments, not " +
                           std::to_string(given));
  }
  return OkStatus();
}

}  // namespace reprise::chat_template
