#include "models/chat_template/parser.h"

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "models/chat_template/expression_parser.h"

namespace reprise::chat_template {
namespace {

class TemplateParser {
 public:
  TemplateParser(std::string_view source, std::vector<Token> tokens, int max_depth)
      : in_(source, std::move(tokens), max_depth) {}

  Result<Body> Parse();

 private:
  using EndTags = std::initializer_list<std::string_view>;

  // Statements up to a tag named in `ends`, whose name is left as the next token.
  Result<Body> ParseBody(EndTags ends);
  // The same, then the one end tag.
  Result<Body> ParseBodyAndEnd(std::string_view end);
  // `body_of`'s body and its end tag, as the body of a function: the loops around it cannot be left from
  // there.
  Result<Body> ParseFunctionBody(MacroDefinition* macro, std::string_view end);
  Status CloseTag() { return in_.Expect(TokenType::kBlockEnd, "the end of the tag ('%}')"); }
  Result<StmtPtr> ParsePrint();
  Result<StmtPtr> ParseStatement();
  Result<StmtPtr> ParseIf(std::size_t offset);
  Result<StmtPtr> ParseFor(std::size_t offset);
  Result<StmtPtr> ParseSet(std::size_t offset);
  Result<StmtPtr> ParseMacro(std::size_t offset);
  Result<StmtPtr> ParseCallBlock(std::size_t offset);
  Result<StmtPtr> ParseFilterBlock(std::size_t offset);
  Result<StmtPtr> ParseWith(std::size_t offset);
  Result<StmtPtr> ParseGeneration(std::size_t offset);
  Result<StmtPtr> ParseLoopControl(StmtKind kind, std::size_t offset);
  Status ParseSignature(MacroDefinition* macro);

  ExpressionParser in_;
  int loops_ = 0;  // loops around the current statement
};

Result<Body> TemplateParser::Parse() {
  ASSIGN_OR_RETURN(Body body, ParseBody({}));
  return body;
}

Result<Body> TemplateParser::ParseBody(EndTags ends) {
  ExpressionParser::Nesting nesting(in_);
  RETURN_IF_ERROR(in_.CheckNesting());
  Body body;
  for (;;) {
    const Token& token = in_.Peek();
    switch (token.type) {
      case TokenType::kData: {
        Token data = in_.Next();
        body.push_back(std::make_unique<TextStmt>(data.offset, std::move(data.text)));
        break;
      }
      case TokenType::kVariableBegin: {
        ASSIGN_OR_RETURN(StmtPtr print, ParsePrint());
        body.push_back(std::move(print));
        break;
      }
      case TokenType::kBlockBegin: {
        const Token& name = in_.Peek(1);
        if (name.type == TokenType::kName && std::find(ends.begin(), ends.end(), name.text) != ends.end()) {
          in_.Next();
          return body;
        }
        ASSIGN_OR_RETURN(StmtPtr statement, ParseStatement());
        body.push_back(std::move(statement));
        break;
      }
      default:
        if (ends.size() == 0) return body;
        return in_.Error(token.offset, "the template ends where '{% " + std::string(*(ends.end() - 1)) +
                                           " %}' is still missing");
    }
  }
}

Result<Body> TemplateParser::ParseBodyAndEnd(std::string_view end) {
  RETURN_IF_ERROR(CloseTag());
  ASSIGN_OR_RETURN(Body body, ParseBody({end}));
  in_.Next();
  RETURN_IF_ERROR(CloseTag());
  return body;
}

Result<Body> TemplateParser::ParseFunctionBody(MacroDefinition* macro, std::string_view end) {
  const int loops = std::exchange(loops_, 0);
  in_.open_macros().push_back(macro);
  Result<Body> body = ParseBodyAndEnd(end);
  in_.open_macros().pop_back();
  loops_ = loops;
  return body;
}

Result<StmtPtr> TemplateParser::ParsePrint() {
  auto node = std::make_unique<PrintStmt>(in_.Next().offset);
  ASSIGN_OR_RETURN(node->value, in_.ParseTuple(/*conditional=*/true));
  RETURN_IF_ERROR(in_.Expect(TokenType::kVariableEnd, "the end of the tag ('}}')"));
  return StmtPtr(std::move(node));
}

Result<StmtPtr> TemplateParser::ParseStatement() {
  in_.Next();
  const std::size_t offset = in_.Peek().offset;
  ASSIGN_OR_RETURN(const std::string name, in_.ExpectName());
  if (name == "if") return ParseIf(offset);
  if (name == "for") return ParseFor(offset);
  if (name == "set") return ParseSet(offset);
  if (name == "macro") return ParseMacro(offset);
  if (name == "call") return ParseCallBlock(offset);
  if (name == "filter") return ParseFilterBlock(offset);
  if (name == "with") return ParseWith(offset);
  if (name == "generation") return ParseGeneration(offset);
  if (name == "break") return ParseLoopControl(StmtKind::kBreak, offset);
  if (name == "continue") return ParseLoopControl(StmtKind::kContinue, offset);
  return in_.Error(offset,
                   "unknown tag '" + name +
                       "' here; a chat template may use if, for, set, macro, call, filter, with, generation, "
                       "break, continue and raw");
}

Result<StmtPtr> TemplateParser::ParseIf(std::size_t offset) {
  auto node = std::make_unique<IfStmt>(offset);
  ExpressionParser::Conditional conditional(in_);
  for (;;) {
    IfStmt::Branch& branch = node->branches.emplace_back();
    ASSIGN_OR_RETURN(branch.condition, in_.ParseTuple(/*conditional=*/false));
    RETURN_IF_ERROR(CloseTag());
    ASSIGN_OR_RETURN(branch.body, ParseBody({"elif", "else", "endif"}));
    if (in_.SkipName("elif")) continue;
    if (in_.SkipName("else")) {
      RETURN_IF_ERROR(CloseTag());
      IfStmt::Branch& otherwise = node->branches.emplace_back();
      ASSIGN_OR_RETURN(otherwise.body, ParseBody({"endif"}));
    }
    in_.Next();
    RETURN_IF_ERROR(CloseTag());
    return StmtPtr(std::move(node));
  }
}

Result<StmtPtr> TemplateParser::ParseFor(std::size_t offset) {
  auto node = std::make_unique<ForStmt>(offset);
  ASSIGN_OR_RETURN(node->target, in_.ParseTarget(/*allow_attribute=*/false));
  if (!in_.SkipName("in")) return in_.Error(in_.Peek().offset, "'in' is needed here");
  ASSIGN_OR_RETURN(node->iterable, in_.ParseTuple(/*conditional=*/false, "recursive"));
  if (in_.SkipName("if")) {
    ASSIGN_OR_RETURN(node->filter, in_.ParseExpression());
  }
  node->is_recursive = in_.SkipName("recursive");
  RETURN_IF_ERROR(CloseTag());
  ++loops_;
  Result<Body> body = ParseBody({"else", "endfor"});
  --loops_;
  ASSIGN_OR_RETURN(node->body, std::move(body));
  if (in_.SkipName("else")) {
    RETURN_IF_ERROR(CloseTag());
    ASSIGN_OR_RETURN(node->otherwise, ParseBody({"endfor"}));
  }
  in_.Next();
  RETURN_IF_ERROR(CloseTag());
  return StmtPtr(std::move(node));
}

Result<StmtPtr> TemplateParser::ParseSet(std::size_t offset) {
  ASSIGN_OR_RETURN(Target target, in_.ParseTarget(/*allow_attribute=*/true));
  if (in_.SkipOperator("=")) {
    auto node = std::make_unique<SetStmt>(offset);
    node->target = std::move(target);
    ASSIGN_OR_RETURN(node->value, in_.ParseTuple(/*conditional=*/true));
    RETURN_IF_ERROR(CloseTag());
    return StmtPtr(std::move(node));
  }
  auto node = std::make_unique<SetBlockStmt>(offset);
  node->target = std::move(target);
  ASSIGN_OR_RETURN(node->filters, in_.ParseFilterChain());
  ASSIGN_OR_RETURN(node->body, ParseBodyAndEnd("endset"));
  return StmtPtr(std::move(node));
}

Status TemplateParser::ParseSignature(MacroDefinition* macro) {
  RETURN_IF_ERROR(in_.ExpectOperator("("));
  while (!in_.PeekOperator(")")) {
    MacroDefinition::Parameter parameter;
    const std::size_t offset = in_.Peek().offset;
    ASSIGN_OR_RETURN(parameter.name, in_.ExpectName());
    if (in_.SkipOperator("=")) {
      ASSIGN_OR_RETURN(parameter.default_value, in_.ParseExpression());
    } else if (!macro->parameters.empty() && macro->parameters.back().default_value != nullptr) {
      return in_.Error(offset, "a parameter without a default value follows one with a default value");
    }
    macro->parameters.push_back(std::move(parameter));
    if (!in_.SkipOperator(",")) break;
  }
  return in_.ExpectOperator(")");
}

Result<StmtPtr> TemplateParser::ParseMacro(std::size_t offset) {
  auto node = std::make_unique<MacroStmt>(offset);
  ASSIGN_OR_RETURN(node->macro.name, in_.ExpectName());
  RETURN_IF_ERROR(ParseSignature(&node->macro));
  ASSIGN_OR_RETURN(node->macro.body, ParseFunctionBody(&node->macro, "endmacro"));
  return StmtPtr(std::move(node));
}

Result<StmtPtr> TemplateParser::ParseCallBlock(std::size_t offset) {
  auto node = std::make_unique<CallBlockStmt>(offset);
  if (in_.PeekOperator("(")) RETURN_IF_ERROR(ParseSignature(&node->caller));
  ASSIGN_OR_RETURN(ExprPtr call, in_.ParseExpression());
  if (call->kind != ExprKind::kCall) return in_.Error(call->offset, "a call is needed here");
  node->call.reset(static_cast<CallExpr*>(call.release()));
  ASSIGN_OR_RETURN(node->caller.body, ParseFunctionBody(&node->caller, "endcall"));
  return StmtPtr(std::move(node));
}

Result<StmtPtr> TemplateParser::ParseFilterBlock(std::size_t offset) {
  auto node = std::make_unique<FilterBlockStmt>(offset);
  ASSIGN_OR_RETURN(FilterApplication first, in_.ParseFilterApplication());
  ASSIGN_OR_RETURN(std::vector<FilterApplication> rest, in_.ParseFilterChain());
  node->filters.push_back(std::move(first));
  std::move(rest.begin(), rest.end(), std::back_inserter(node->filters));
  ASSIGN_OR_RETURN(node->body, ParseBodyAndEnd("endfilter"));
  return StmtPtr(std::move(node));
}

Result<StmtPtr> TemplateParser::ParseWith(std::size_t offset) {
  auto node = std::make_unique<WithStmt>(offset);
  while (in_.Peek().type != TokenType::kBlockEnd) {
    if (!node->assignments.empty()) RETURN_IF_ERROR(in_.ExpectOperator(","));
    Target target;
    target.offset = in_.Peek().offset;
    ASSIGN_OR_RETURN(target.name, in_.ExpectName());
    RETURN_IF_ERROR(in_.ExpectOperator("="));
    ASSIGN_OR_RETURN(ExprPtr value, in_.ParseExpression());
    node->assignments.emplace_back(std::move(target), std::move(value));
  }
  ASSIGN_OR_RETURN(node->body, ParseBodyAndEnd("endwith"));
  return StmtPtr(std::move(node));
}

// Marks for training which part of the text a model has written; rendering only gives it a scope.
Result<StmtPtr> TemplateParser::ParseGeneration(std::size_t offset) {
  auto node = std::make_unique<WithStmt>(offset);
  const int loops = std::exchange(loops_, 0);
  Result<Body> body = ParseBodyAndEnd("endgeneration");
  loops_ = loops;
  ASSIGN_OR_RETURN(node->body, std::move(body));
  return StmtPtr(std::move(node));
}

Result<StmtPtr> TemplateParser::ParseLoopControl(StmtKind kind, std::size_t offset) {
  if (loops_ == 0) return in_.Error(offset, "'break' and 'continue' belong inside a 'for'");
  RETURN_IF_ERROR(CloseTag());
  return StmtPtr(std::make_unique<LoopControlStmt>(kind, offset));
}

}  // namespace

Result<Body> ParseTemplate(std::string_view source, const ChatTemplateLimits& limits) {
  ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return TemplateParser(source, std::move(tokens), limits.max_depth).Parse();
}

}  // namespace reprise::chat_template
