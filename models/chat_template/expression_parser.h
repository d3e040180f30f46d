// Tokens to expressions: Jinja's grammar, by recursive descent with bounded depth.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "models/chat_template/ast.h"
#include "models/chat_template/lexer.h"

namespace reprise::chat_template {

class ExpressionParser {
 public:
  // `source` outlives the parser. Nesting beyond `max_depth` is an error.
  ExpressionParser(std::string_view source, std::vector<Token> tokens, int max_depth)
      : source_(source), tokens_(std::move(tokens)), max_depth_(max_depth) {}

  // The token stream.
  const Token& Peek(std::size_t ahead = 0) const;
  Token Next();
  bool PeekName(std::string_view name) const { return Peek().Is(TokenType::kName, name); }
  bool PeekOperator(std::string_view symbol) const { return Peek().Is(TokenType::kOperator, symbol); }
  bool SkipName(std::string_view name);
  bool SkipOperator(std::string_view symbol);
  Result<std::string> ExpectName();
  Status ExpectOperator(std::string_view symbol);
  Status Expect(TokenType type, std::string_view description);
  Status Error(std::size_t offset, const std::string& what) const {
    return SyntaxError(source_, offset, what);
  }
  Status Unexpected() const;

  // One expression; `conditional` allows `a if b else c`.
  Result<ExprPtr> ParseExpression(bool conditional = true);
  // One expression, or several with commas: a tuple, which also ends before the name `end`.
  Result<ExprPtr> ParseTuple(bool conditional, std::string_view end = {});
  // What a loop (which ends it with `in`) or `set` stores to.
  Result<Target> ParseTarget(bool allow_attribute);
  Result<FilterApplication> ParseFilterApplication();
  // Filters introduced by '|'.
  Result<std::vector<FilterApplication>> ParseFilterChain();

  // One level of nesting for as long as it lives.
  class Nesting {
   public:
    explicit Nesting(ExpressionParser& parser) : parser_(parser) { ++parser_.depth_; }
    ~Nesting() { --parser_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    ExpressionParser& parser_;
  };
  Status CheckNesting() const;

  // An unknown filter or test is an error right away, except in parts that may never run.
  class Conditional {
   public:
    explicit Conditional(ExpressionParser& parser) : parser_(parser) { ++parser_.conditionals_; }
    ~Conditional() { --parser_.conditionals_; }
    Conditional(const Conditional&) = delete;
    Conditional& operator=(const Conditional&) = delete;

   private:
    ExpressionParser& parser_;
  };

  // The macros whose bodies are being parsed, outermost first: a mention of `caller`, `varargs` or `kwargs`
  // is noted in each.
  std::vector<MacroDefinition*>& open_macros() { return open_macros_; }

 private:
  Result<ExprPtr> ParseLogic(LogicOperator logic);
  Result<ExprPtr> ParseNot();
  Result<ExprPtr> ParseCompare();
  bool SkipCompareOperator(CompareOperator* op);
  // Sums, concatenations, products and powers, by increasing precedence.
  Result<ExprPtr> ParseSum();
  Result<ExprPtr> ParseConcat();
  Result<ExprPtr> ParseProduct();
  Result<ExprPtr> ParsePower();
  using ParseOperand = Result<ExprPtr> (ExpressionParser::*)();
  struct ArithmeticSymbol {
    std::string_view symbol;
    ArithmeticOperator op;
  };
  Result<ExprPtr> ParseArithmetic(ParseOperand parse_operand,
                                  std::initializer_list<ArithmeticSymbol> symbols);
  Result<ExprPtr> ParseUnary(bool with_filters);
  Result<ExprPtr> ParsePowerOperand() { return ParseUnary(/*with_filters=*/true); }
  Result<ExprPtr> ParsePrimary();
  Result<ExprPtr> ParseName();
  Result<ExprPtr> ParseParenthesized();
  Result<ExprPtr> ParseList();
  Result<ExprPtr> ParseDict();
  Result<ExprPtr> ParsePostfix(ExprPtr expr);
  Result<ExprPtr> ParseAttribute(ExprPtr object);
  Result<ExprPtr> ParseSubscript(ExprPtr object);
  Result<ExprPtr> ParseSlice(ExprPtr object, ExprPtr start, std::size_t offset);
  Result<ExprPtr> ParseCall(ExprPtr callee);
  Result<ExprPtr> ParseFilters(ExprPtr expr);
  Result<ExprPtr> ParseTest(ExprPtr input);
  bool StartsTestArgument() const;
  Result<ArgumentExprs> ParseArguments();
  Status ParseArgument(ArgumentExprs* arguments);
  bool AtTupleEnd(std::string_view end) const;
  Result<Target> ParseSingleTarget(bool allow_attribute);
  Result<std::string> ParseDottedName();
  // The node, unless what is below it is nested too deep.
  template <typename Node>
  Result<ExprPtr> Finish(std::unique_ptr<Node> node) const {
    if (node->depth <= max_depth_) return ExprPtr(std::move(node));
    return Error(node->offset,
                 "an expression nested more than " + std::to_string(max_depth_) + " levels deep");
  }

  const std::string_view source_;
  const std::vector<Token> tokens_;  // ends with kEnd
  const int max_depth_;
  std::size_t pos_ = 0;
  int depth_ = 0;
  int conditionals_ = 0;
  std::vector<MacroDefinition*> open_macros_;
};

}  // namespace reprise::chat_template
