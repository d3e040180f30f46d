// The syntax tree of a template. Offsets are into the normalized source.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/chat_template/builtins.h"
#include "models/chat_template/value.h"

namespace reprise::chat_template {

enum class ExprKind : std::uint8_t {
  kLiteral,
  kName,
  kTuple,
  kList,
  kDict,
  kAttribute,
  kSubscript,
  kSlice,
  kCall,
  kFilter,
  kTest,
  kUnary,
  kArithmetic,
  kConcat,
  kLogic,
  kCompare,
  kConditional,
};

struct Expr {
  Expr(ExprKind k, std::size_t o) : kind(k), offset(o) {}
  virtual ~Expr() = default;
  const ExprKind kind;
  const std::size_t offset;
  int depth = 1;  // levels of nodes below and including this one
};
using ExprPtr = std::unique_ptr<Expr>;

// Keeps the parent's depth right; the child may be null.
inline void NoteChild(Expr* parent, const ExprPtr& child) {
  if (child != nullptr) parent->depth = std::max(parent->depth, child->depth + 1);
}

struct LiteralExpr : Expr {
  LiteralExpr(std::size_t o, Value v) : Expr(ExprKind::kLiteral, o), value(std::move(v)) {}
  const Value value;
};

struct NameExpr : Expr {
  NameExpr(std::size_t o, std::string n) : Expr(ExprKind::kName, o), name(std::move(n)) {}
  const std::string name;
};

// A tuple or a list.
struct ItemsExpr : Expr {
  using Expr::Expr;
  std::vector<ExprPtr> items;
};

struct DictExpr : Expr {
  explicit DictExpr(std::size_t o) : Expr(ExprKind::kDict, o) {}
  std::vector<std::pair<ExprPtr, ExprPtr>> items;
};

struct AttributeExpr : Expr {
  explicit AttributeExpr(std::size_t o) : Expr(ExprKind::kAttribute, o) {}
  ExprPtr object;
  std::string name;
};

struct SubscriptExpr : Expr {
  explicit SubscriptExpr(std::size_t o) : Expr(ExprKind::kSubscript, o) {}
  ExprPtr object, index;
};

struct SliceExpr : Expr {
  explicit SliceExpr(std::size_t o) : Expr(ExprKind::kSlice, o) {}
  ExprPtr object, start, stop, step;  // the last three may be null
};

// The arguments of a call, a filter or a test.
struct ArgumentExprs {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> keyword;
  ExprPtr star, double_star;  // *sequence and **mapping, or null
};

struct CallExpr : Expr {
  explicit CallExpr(std::size_t o) : Expr(ExprKind::kCall, o) {}
  ExprPtr callee;
  ArgumentExprs arguments;
};

// A filter's or a test's name and arguments, without what it is applied to.
template <typename Function>
struct Application {
  std::size_t offset = 0;
  std::string name;
  Function function = nullptr;  // null: unknown, which is an error if it is ever evaluated
  ArgumentExprs arguments;
};
using FilterApplication = Application<FilterFunction>;
using TestApplication = Application<TestFunction>;

struct FilterExpr : Expr {
  explicit FilterExpr(std::size_t o) : Expr(ExprKind::kFilter, o) {}
  ExprPtr input;
  FilterApplication filter;
};

struct TestExpr : Expr {
  explicit TestExpr(std::size_t o) : Expr(ExprKind::kTest, o) {}
  ExprPtr input;
  TestApplication test;
};

enum class UnaryOperator : std::uint8_t { kNot, kMinus, kPlus };

struct UnaryExpr : Expr {
  UnaryExpr(std::size_t o, UnaryOperator op) : Expr(ExprKind::kUnary, o), unary_operator(op) {}
  const UnaryOperator unary_operator;
  ExprPtr operand;
};

// A chain of operators of one precedence, applied from the left: the tree stays flat however long the chain
// is.
template <typename Operator>
struct ChainExpr : Expr {
  struct Link {
    std::size_t offset;
    Operator link_operator;
    ExprPtr operand;
  };
  using Expr::Expr;
  ExprPtr first;
  std::vector<Link> links;
};

enum class LogicOperator : std::uint8_t { kAnd, kOr };

using ArithmeticExpr = ChainExpr<ArithmeticOperator>;
using CompareExpr = ChainExpr<CompareOperator>;
using LogicExpr = ChainExpr<LogicOperator>;

struct ConditionalExpr : Expr {
  explicit ConditionalExpr(std::size_t o) : Expr(ExprKind::kConditional, o) {}
  ExprPtr condition, value, otherwise;  // otherwise may be null: undefined then
};

// What an assignment or a loop stores to: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  std::size_t offset = 0;
  std::string name;
  std::string attribute;      // not empty: `name.attribute`
  std::vector<Target> items;  // not empty, or is_tuple: a tuple
  bool is_tuple = false;
};

enum class StmtKind : std::uint8_t {
  kText,
  kPrint,
  kIf,
  kFor,
  kSet,
  kSetBlock,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kWith,
  kBreak,
  kContinue,
};

struct Stmt {
  Stmt(StmtKind k, std::size_t o) : kind(k), offset(o) {}
  virtual ~Stmt() = default;
  const StmtKind kind;
  const std::size_t offset;
};
using StmtPtr = std::unique_ptr<Stmt>;
using Body = std::vector<StmtPtr>;

struct TextStmt : Stmt {
  TextStmt(std::size_t o, std::string t) : Stmt(StmtKind::kText, o), text(std::move(t)) {}
  const Value text;
};

struct PrintStmt : Stmt {
  explicit PrintStmt(std::size_t o) : Stmt(StmtKind::kPrint, o) {}
  ExprPtr value;
};

struct IfStmt : Stmt {
  explicit IfStmt(std::size_t o) : Stmt(StmtKind::kIf, o) {}
  struct Branch {
    ExprPtr condition;  // null for `else`
    Body body;
  };
  std::vector<Branch> branches;
};

struct ForStmt : Stmt {
  explicit ForStmt(std::size_t o) : Stmt(StmtKind::kFor, o) {}
  Target target;
  ExprPtr iterable;
  ExprPtr filter;  // may be null
  bool is_recursive = false;
  Body body, otherwise;
};

struct SetStmt : Stmt {
  explicit SetStmt(std::size_t o) : Stmt(StmtKind::kSet, o) {}
  Target target;
  ExprPtr value;
};

// {% set target | filters %} body {% endset %}
struct SetBlockStmt : Stmt {
  explicit SetBlockStmt(std::size_t o) : Stmt(StmtKind::kSetBlock, o) {}
  Target target;
  std::vector<FilterApplication> filters;
  Body body;
};

// The function a macro or a call block defines.
struct MacroDefinition {
  struct Parameter {
    std::string name;
    ExprPtr default_value;  // null: required, in so far as a missing one is undefined
  };
  std::string name;  // empty for a call block
  std::vector<Parameter> parameters;
  Body body;
  // Whether the body mentions these special names.
  bool uses_caller = false;
  bool uses_varargs = false;
  bool uses_kwargs = false;
};

struct MacroStmt : Stmt {
  explicit MacroStmt(std::size_t o) : Stmt(StmtKind::kMacro, o) {}
  MacroDefinition macro;
};

// {% call(parameters) call %} body {% endcall %}
struct CallBlockStmt : Stmt {
  explicit CallBlockStmt(std::size_t o) : Stmt(StmtKind::kCallBlock, o) {}
  MacroDefinition caller;
  std::unique_ptr<CallExpr> call;
};

struct FilterBlockStmt : Stmt {
  explicit FilterBlockStmt(std::size_t o) : Stmt(StmtKind::kFilterBlock, o) {}
  std::vector<FilterApplication> filters;
  Body body;
};

// {% with %}, and {% generation %}, which only gives its body a scope.
struct WithStmt : Stmt {
  explicit WithStmt(std::size_t o) : Stmt(StmtKind::kWith, o) {}
  std::vector<std::pair<Target, ExprPtr>> assignments;
  Body body;
};

// {% break %} or {% continue %}.
struct LoopControlStmt : Stmt {
  using Stmt::Stmt;
};

}  // namespace reprise::chat_template
