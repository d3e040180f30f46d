// The ExpressionParser's operands: literals, names and brackets, and what may follow them.
#include <algorithm>
#include <utility>

#include "models/chat_template/expression_parser.h"

namespace reprise::chat_template {
namespace {

void NoteChildren(Expr* parent, const ArgumentExprs& arguments) {
  for (const ExprPtr& argument : arguments.positional) NoteChild(parent, argument);
  for (const auto& [name, argument] : arguments.keyword) NoteChild(parent, argument);
  NoteChild(parent, arguments.star);
  NoteChild(parent, arguments.double_star);
}

bool IsKeyword(std::string_view name) {
  return name == "true" || name == "false" || name == "True" || name == "False" || name == "none" ||
         name == "None";
}

}  // namespace

Result<ExprPtr> ExpressionParser::ParsePrimary() {
  const Token& token = Peek();
  switch (token.type) {
    case TokenType::kName:
      return ParseName();
    case TokenType::kInteger:
      return ExprPtr(std::make_unique<LiteralExpr>(token.offset, Next().integer));
    case TokenType::kFloat:
      return ExprPtr(std::make_unique<LiteralExpr>(token.offset, Next().number));
    case TokenType::kString: {
      std::string text;
      while (Peek().type == TokenType::kString) text += Next().text;
      return ExprPtr(std::make_unique<LiteralExpr>(token.offset, std::move(text)));
    }
    case TokenType::kOperator:
      if (token.text == "(") return ParseParenthesized();
      if (token.text == "[") return ParseList();
      if (token.text == "{") return ParseDict();
      return Unexpected();
    default:
      return Unexpected();
  }
}

Result<ExprPtr> ExpressionParser::ParseName() {
  Token token = Next();
  if (token.text == "none" || token.text == "None") {
    return ExprPtr(std::make_unique<LiteralExpr>(token.offset, Value()));
  }
  if (IsKeyword(token.text)) {
    const bool value = token.text == "true" || token.text == "True";
    return ExprPtr(std::make_unique<LiteralExpr>(token.offset, value));
  }
  for (MacroDefinition* macro : open_macros_) {
    macro->uses_caller |= token.text == "caller";
    macro->uses_varargs |= token.text == "varargs";
    macro->uses_kwargs |= token.text == "kwargs";
  }
  return ExprPtr(std::make_unique<NameExpr>(token.offset, std::move(token.text)));
}

Result<ExprPtr> ExpressionParser::ParseParenthesized() {
  const std::size_t offset = Next().offset;
  if (SkipOperator(")")) return ExprPtr(std::make_unique<ItemsExpr>(ExprKind::kTuple, offset));
  ASSIGN_OR_RETURN(ExprPtr expr, ParseTuple(/*conditional=*/true));
  RETURN_IF_ERROR(ExpectOperator(")"));
  return expr;
}

Result<ExprPtr> ExpressionParser::ParseList() {
  auto node = std::make_unique<ItemsExpr>(ExprKind::kList, Next().offset);
  while (!PeekOperator("]")) {
    ASSIGN_OR_RETURN(ExprPtr item, ParseExpression());
    NoteChild(node.get(), item);
    node->items.push_back(std::move(item));
    if (!SkipOperator(",")) break;
  }
  RETURN_IF_ERROR(ExpectOperator("]"));
  return Finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::ParseDict() {
  auto node = std::make_unique<DictExpr>(Next().offset);
  while (!PeekOperator("}")) {
    ASSIGN_OR_RETURN(ExprPtr key, ParseExpression());
    RETURN_IF_ERROR(ExpectOperator(":"));
    ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
    NoteChild(node.get(), key);
    NoteChild(node.get(), value);
    node->items.emplace_back(std::move(key), std::move(value));
    if (!SkipOperator(",")) break;
  }
  RETURN_IF_ERROR(ExpectOperator("}"));
  return Finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::ParsePostfix(ExprPtr expr) {
  for (;;) {
    if (PeekOperator(".")) {
      ASSIGN_OR_RETURN(expr, ParseAttribute(std::move(expr)));
    } else if (PeekOperator("[")) {
      ASSIGN_OR_RETURN(expr, ParseSubscript(std::move(expr)));
    } else if (PeekOperator("(")) {
      ASSIGN_OR_RETURN(expr, ParseCall(std::move(expr)));
    } else {
      return expr;
    }
  }
}

// `.name`, or `.0` for an element.
Result<ExprPtr> ExpressionParser::ParseAttribute(ExprPtr object) {
  const std::size_t offset = Next().offset;
  if (Peek().type == TokenType::kInteger) {
    auto node = std::make_unique<SubscriptExpr>(offset);
    NoteChild(node.get(), object);
    node->object = std::move(object);
    node->index = std::make_unique<LiteralExpr>(Peek().offset, Peek().integer);
    Next();
    return Finish(std::move(node));
  }
  auto node = std::make_unique<AttributeExpr>(offset);
  ASSIGN_OR_RETURN(node->name, ExpectName());
  NoteChild(node.get(), object);
  node->object = std::move(object);
  return Finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::ParseSubscript(ExprPtr object) {
  const std::size_t offset = Next().offset;
  if (PeekOperator(":")) return ParseSlice(std::move(object), nullptr, offset);
  ASSIGN_OR_RETURN(ExprPtr index, ParseExpression());
  if (PeekOperator(":")) return ParseSlice(std::move(object), std::move(index), offset);
  RETURN_IF_ERROR(ExpectOperator("]"));
  auto node = std::make_unique<SubscriptExpr>(offset);
  NoteChild(node.get(), object);
  NoteChild(node.get(), index);
  node->object = std::move(object);
  node->index = std::move(index);
  return Finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::ParseSlice(ExprPtr object, ExprPtr start, std::size_t offset) {
  auto node = std::make_unique<SliceExpr>(offset);
  node->object = std::move(object);
  node->start = std::move(start);
  RETURN_IF_ERROR(ExpectOperator(":"));
  if (!PeekOperator(":") && !PeekOperator("]")) {
    ASSIGN_OR_RETURN(node->stop, ParseExpression());
  }
  if (SkipOperator(":") && !PeekOperator("]")) {
    ASSIGN_OR_RETURN(node->step, ParseExpression());
  }
  RETURN_IF_ERROR(ExpectOperator("]"));
  for (const ExprPtr* child : {&node->object, &node->start, &node->stop, &node->step})
    NoteChild(node.get(), *child);
  return Finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::ParseCall(ExprPtr callee) {
  auto node = std::make_unique<CallExpr>(Peek().offset);
  ASSIGN_OR_RETURN(node->arguments, ParseArguments());
  NoteChild(node.get(), callee);
  NoteChildren(node.get(), node->arguments);
  node->callee = std::move(callee);
  return Finish(std::move(node));
}

Result<ArgumentExprs> ExpressionParser::ParseArguments() {
  RETURN_IF_ERROR(ExpectOperator("("));
  ArgumentExprs arguments;
  while (!PeekOperator(")")) {
    RETURN_IF_ERROR(ParseArgument(&arguments));
    if (!SkipOperator(",")) break;
  }
  RETURN_IF_ERROR(ExpectOperator(")"));
  return arguments;
}

Status ExpressionParser::ParseArgument(ArgumentExprs* arguments) {
  const std::size_t offset = Peek().offset;
  if (arguments->double_star != nullptr) return Error(offset, "no argument may follow **");
  if (SkipOperator("**")) {
    ASSIGN_OR_RETURN(arguments->double_star, ParseExpression());
    return OkStatus();
  }
  if (PeekOperator("*")) {
    if (arguments->star != nullptr) return Error(offset, "only one * argument is allowed");
    Next();
    ASSIGN_OR_RETURN(arguments->star, ParseExpression());
    return OkStatus();
  }
  if (Peek().type == TokenType::kName && Peek(1).Is(TokenType::kOperator, "=")) {
    std::string name = Next().text;
    Next();
    ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
    arguments->keyword.emplace_back(std::move(name), std::move(value));
    return OkStatus();
  }
  if (arguments->star != nullptr || !arguments->keyword.empty()) {
    return Error(offset, "a positional argument may not follow a keyword argument");
  }
  ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
  arguments->positional.push_back(std::move(value));
  return OkStatus();
}

Result<ExprPtr> ExpressionParser::ParseFilters(ExprPtr expr) {
  for (;;) {
    if (PeekOperator("|")) {
      auto node = std::make_unique<FilterExpr>(Next().offset);
      ASSIGN_OR_RETURN(node->filter, ParseFilterApplication());
      NoteChild(node.get(), expr);
      NoteChildren(node.get(), node->filter.arguments);
      node->input = std::move(expr);
      ASSIGN_OR_RETURN(expr, Finish(std::move(node)));
    } else if (PeekName("is")) {
      ASSIGN_OR_RETURN(expr, ParseTest(std::move(expr)));
    } else if (PeekOperator("(")) {
      ASSIGN_OR_RETURN(expr, ParseCall(std::move(expr)));
    } else {
      return expr;
    }
  }
}

Result<std::string> ExpressionParser::ParseDottedName() {
  ASSIGN_OR_RETURN(std::string name, ExpectName());
  while (SkipOperator(".")) {
    ASSIGN_OR_RETURN(const std::string part, ExpectName());
    name += "." + part;
  }
  return name;
}

Result<FilterApplication> ExpressionParser::ParseFilterApplication() {
  FilterApplication filter;
  filter.offset = Peek().offset;
  ASSIGN_OR_RETURN(filter.name, ParseDottedName());
  filter.function = FindFilter(filter.name);
  if (filter.function == nullptr && conditionals_ == 0) {
    return Error(filter.offset, "no filter named '" + filter.name + "'");
  }
  if (PeekOperator("(")) {
    ASSIGN_OR_RETURN(filter.arguments, ParseArguments());
  }
  return filter;
}

Result<std::vector<FilterApplication>> ExpressionParser::ParseFilterChain() {
  std::vector<FilterApplication> filters;
  while (SkipOperator("|")) {
    ASSIGN_OR_RETURN(FilterApplication filter, ParseFilterApplication());
    filters.push_back(std::move(filter));
  }
  return filters;
}

// A test may take one argument without parentheses.
bool ExpressionParser::StartsTestArgument() const {
  const Token& token = Peek();
  switch (token.type) {
    case TokenType::kString:
    case TokenType::kInteger:
    case TokenType::kFloat:
      return true;
    case TokenType::kName:
      return token.text != "else" && token.text != "or" && token.text != "and";
    case TokenType::kOperator:
      return token.text == "[" || token.text == "{";
    default:
      return false;
  }
}

Result<ExprPtr> ExpressionParser::ParseTest(ExprPtr input) {
  auto node = std::make_unique<TestExpr>(Next().offset);
  const bool is_negated = SkipName("not");
  node->test.offset = Peek().offset;
  ASSIGN_OR_RETURN(node->test.name, ParseDottedName());
  node->test.function = FindTest(node->test.name);
  if (node->test.function == nullptr && conditionals_ == 0) {
    return Error(node->test.offset, "no test named '" + node->test.name + "'");
  }
  if (PeekOperator("(")) {
    ASSIGN_OR_RETURN(node->test.arguments, ParseArguments());
  } else if (StartsTestArgument()) {
    if (PeekName("is")) return Error(Peek().offset, "tests cannot be chained with 'is'");
    ASSIGN_OR_RETURN(ExprPtr argument, ParsePrimary());
    ASSIGN_OR_RETURN(argument, ParsePostfix(std::move(argument)));
    node->test.arguments.positional.push_back(std::move(argument));
  }
  NoteChild(node.get(), input);
  NoteChildren(node.get(), node->test.arguments);
  node->input = std::move(input);
  if (!is_negated) return Finish(std::move(node));
  auto negation = std::make_unique<UnaryExpr>(node->offset, UnaryOperator::kNot);
  ASSIGN_OR_RETURN(negation->operand, Finish(std::move(node)));
  NoteChild(negation.get(), negation->operand);
  return Finish(std::move(negation));
}

Result<Target> ExpressionParser::ParseTarget(bool allow_attribute) {
  Target tuple;
  tuple.offset = Peek().offset;
  do {
    if (tuple.is_tuple && (AtTupleEnd("in") || PeekOperator("="))) break;
    ASSIGN_OR_RETURN(Target item, ParseSingleTarget(allow_attribute));
    tuple.items.push_back(std::move(item));
    tuple.is_tuple = tuple.is_tuple || PeekOperator(",");
  } while (SkipOperator(","));
  if (tuple.is_tuple) return tuple;
  Target only = std::move(tuple.items.front());
  return only;
}

Result<Target> ExpressionParser::ParseSingleTarget(bool allow_attribute) {
  Nesting nesting(*this);
  RETURN_IF_ERROR(CheckNesting());
  if (SkipOperator("(")) {
    ASSIGN_OR_RETURN(Target inner, ParseTarget(allow_attribute));
    RETURN_IF_ERROR(ExpectOperator(")"));
    return inner;
  }
  Target target;
  target.offset = Peek().offset;
  ASSIGN_OR_RETURN(target.name, ExpectName());
  if (IsKeyword(target.name)) return Error(target.offset, "'" + target.name + "' cannot be assigned to");
  if (allow_attribute && SkipOperator(".")) {
    ASSIGN_OR_RETURN(target.attribute, ExpectName());
  }
  return target;
}

}  // namespace reprise::chat_template
