#include "models/chat_template/expression_parser.h"

#include <algorithm>

namespace reprise::chat_template {
const Token& ExpressionParser::Peek(std::size_t ahead) const {
  return tokens_[std::min(pos_ + ahead, tokens_.size() - 1)];
}

Token ExpressionParser::Next() {
  const Token& token = Peek();
  if (token.type != TokenType::kEnd) ++pos_;
  return token;
}

bool ExpressionParser::SkipName(std::string_view name) {
  if (!PeekName(name)) return false;
  ++pos_;
  return true;
}

bool ExpressionParser::SkipOperator(std::string_view symbol) {
  if (!PeekOperator(symbol)) return false;
  ++pos_;
  return true;
}

Status ExpressionParser::Unexpected() const {
  const Token& token = Peek();
  switch (token.type) {
    case TokenType::kEnd:
      return Error(token.offset, "unexpected end of the template");
    case TokenType::kVariableEnd:
    case TokenType::kBlockEnd:
      return Error(token.offset, "unexpected end of the tag: an expression is missing");
    case TokenType::kString:
      return Error(token.offset, "unexpected string");
    default:
      return Error(token.offset, "unexpected '" + token.text + "'");
  }
}

Result<std::string> ExpressionParser::ExpectName() {
  if (Peek().type != TokenType::kName) return Error(Peek().offset, "a name is needed here");
  return Next().text;
}

Status ExpressionParser::ExpectOperator(std::string_view symbol) {
  return SkipOperator(symbol) ? OkStatus()
                              : Error(Peek().offset, "'" + std::string(symbol) + "' is needed here");
}

Status ExpressionParser::Expect(TokenType type, std::string_view description) {
  if (Peek().type != type) return Error(Peek().offset, std::string(description) + " is needed here");
  ++pos_;
  return OkStatus();
}

Status ExpressionParser::CheckNesting() const {
  if (depth_ <= max_depth_) return OkStatus();
  return Error(Peek().offset, "nested more than " + std::to_string(max_depth_) + " levels deep");
}

Result<ExprPtr> ExpressionParser::ParseExpression(bool conditional) {
  Nesting nesting(*this);
  RETURN_IF_ERROR(CheckNesting());
  ASSIGN_OR_RETURN(ExprPtr expr, ParseLogic(LogicOperator::kOr));
  while (conditional && PeekName("if")) {
    auto node = std::make_unique<ConditionalExpr>(Next().offset);
    Conditional inside(*this);
    node->value = std::move(expr);
    ASSIGN_OR_RETURN(node->condition, ParseLogic(LogicOperator::kOr));
    if (SkipName("else")) {
      ASSIGN_OR_RETURN(node->otherwise, ParseExpression());
    }
    NoteChild(node.get(), node->value);
    NoteChild(node.get(), node->condition);
    NoteChild(node.get(), node->otherwise);
    ASSIGN_OR_RETURN(expr, Finish(std::move(node)));
  }
  return expr;
}

bool ExpressionParser::AtTupleEnd(std::string_view end) const {
  const TokenType type = Peek().type;
  return type == TokenType::kVariableEnd || type == TokenType::kBlockEnd || PeekOperator(")") ||
         (!end.empty() && PeekName(end));
}

Result<ExprPtr> ExpressionParser::ParseTuple(bool conditional, std::string_view end) {
  auto tuple = std::make_unique<ItemsExpr>(ExprKind::kTuple, Peek().offset);
  bool is_tuple = false;
  do {
    if (is_tuple && AtTupleEnd(end)) break;
    ASSIGN_OR_RETURN(ExprPtr item, ParseExpression(conditional));
    NoteChild(tuple.get(), item);
    tuple->items.push_back(std::move(item));
    is_tuple = is_tuple || PeekOperator(",");
  } while (SkipOperator(","));
  if (!is_tuple) return std::move(tuple->items.front());
  return Finish(std::move(tuple));
}

Result<ExprPtr> ExpressionParser::ParseLogic(LogicOperator logic) {
  const bool is_or = logic == LogicOperator::kOr;
  const auto parse_operand = [&] { return is_or ? ParseLogic(LogicOperator::kAnd) : ParseNot(); };
  ASSIGN_OR_RETURN(ExprPtr first, parse_operand());
  if (!PeekName(is_or ? "or" : "and")) return first;
  auto node = std::make_unique<LogicExpr>(ExprKind::kLogic, Peek().offset);
  NoteChild(node.get(), first);
  node->first = std::move(first);
  while (PeekName(is_or ? "or" : "and")) {
    const std::size_t offset = Next().offset;
    ASSIGN_OR_RETURN(ExprPtr operand, parse_operand());
    NoteChild(node.get(), operand);
    node->links.push_back({offset, logic, std::move(operand)});
  }
  return Finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::ParseNot() {
  if (!PeekName("not")) return ParseCompare();
  Nesting nesting(*this);
  RETURN_IF_ERROR(CheckNesting());
  auto node = std::make_unique<UnaryExpr>(Next().offset, UnaryOperator::kNot);
  ASSIGN_OR_RETURN(node->operand, ParseNot());
  NoteChild(node.get(), node->operand);
  return Finish(std::move(node));
}

bool ExpressionParser::SkipCompareOperator(CompareOperator* op) {
  static constexpr std::pair<std::string_view, CompareOperator> kSymbols[] = {
      {"==", CompareOperator::kEqual},  {"!=", CompareOperator::kNotEqual},
      {"<", CompareOperator::kLess},    {"<=", CompareOperator::kLessEqual},
      {">", CompareOperator::kGreater}, {">=", CompareOperator::kGreaterEqual}};
  for (const auto& [symbol, candidate] : kSymbols) {
    if (!SkipOperator(symbol)) continue;
    *op = candidate;
    return true;
  }
  if (SkipName("in")) {
    *op = CompareOperator::kIn;
    return true;
  }
  if (PeekName("not") && Peek(1).Is(TokenType::kName, "in")) {
    pos_ += 2;
    *op = CompareOperator::kNotIn;
    return true;
  }
  return false;
}

Result<ExprPtr> ExpressionParser::ParseCompare() {
  ASSIGN_OR_RETURN(ExprPtr first, ParseSum());
  std::unique_ptr<CompareExpr> node;
  for (;;) {
    const std::size_t offset = Peek().offset;
    CompareOperator op;
    if (!SkipCompareOperator(&op)) break;
    if (node == nullptr) {
      node = std::make_unique<CompareExpr>(ExprKind::kCompare, offset);
      NoteChild(node.get(), first);
      node->first = std::move(first);
    }
    ASSIGN_OR_RETURN(ExprPtr operand, ParseSum());
    NoteChild(node.get(), operand);
    node->links.push_back({offset, op, std::move(operand)});
  }
  if (node == nullptr) return first;
  return Finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::ParseArithmetic(ParseOperand parse_operand,
                                                  std::initializer_list<ArithmeticSymbol> symbols) {
  const auto at_symbol = [&] {
    return std::find_if(symbols.begin(), symbols.end(),
                        [&](const ArithmeticSymbol& candidate) { return PeekOperator(candidate.symbol); });
  };
  ASSIGN_OR_RETURN(ExprPtr first, (this->*parse_operand)());
  if (at_symbol() == symbols.end()) return first;
  auto node = std::make_unique<ArithmeticExpr>(ExprKind::kArithmetic, Peek().offset);
  NoteChild(node.get(), first);
  node->first = std::move(first);
  for (auto symbol = at_symbol(); symbol != symbols.end(); symbol = at_symbol()) {
    const std::size_t offset = Next().offset;
    ASSIGN_OR_RETURN(ExprPtr operand, (this->*parse_operand)());
    NoteChild(node.get(), operand);
    node->links.push_back({offset, symbol->op, std::move(operand)});
  }
  return Finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::ParseSum() {
  return ParseArithmetic(&ExpressionParser::ParseConcat,
                         {{"+", ArithmeticOperator::kAdd}, {"-", ArithmeticOperator::kSubtract}});
}

Result<ExprPtr> ExpressionParser::ParseConcat() {
  ASSIGN_OR_RETURN(ExprPtr first, ParseProduct());
  if (!PeekOperator("~")) return first;
  auto node = std::make_unique<ItemsExpr>(ExprKind::kConcat, Peek().offset);
  NoteChild(node.get(), first);
  node->items.push_back(std::move(first));
  while (SkipOperator("~")) {
    ASSIGN_OR_RETURN(ExprPtr item, ParseProduct());
    NoteChild(node.get(), item);
    node->items.push_back(std::move(item));
  }
  return Finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::ParseProduct() {
  return ParseArithmetic(&ExpressionParser::ParsePower, {{"*", ArithmeticOperator::kMultiply},
                                                         {"/", ArithmeticOperator::kDivide},
                                                         {"//", ArithmeticOperator::kFloorDivide},
                                                         {"%", ArithmeticOperator::kModulo}});
}

// From the left, unlike Python: 2**3**2 is 64.
Result<ExprPtr> ExpressionParser::ParsePower() {
  return ParseArithmetic(&ExpressionParser::ParsePowerOperand, {{"**", ArithmeticOperator::kPower}});
}

Result<ExprPtr> ExpressionParser::ParseUnary(bool with_filters) {
  ExprPtr expr;
  if (PeekOperator("-") || PeekOperator("+")) {
    Nesting nesting(*this);
    RETURN_IF_ERROR(CheckNesting());
    const Token sign = Next();
    auto node = std::make_unique<UnaryExpr>(sign.offset,
                                            sign.text == "-" ? UnaryOperator::kMinus : UnaryOperator::kPlus);
    ASSIGN_OR_RETURN(node->operand, ParseUnary(/*with_filters=*/false));
    NoteChild(node.get(), node->operand);
    ASSIGN_OR_RETURN(expr, Finish(std::move(node)));
  } else {
    ASSIGN_OR_RETURN(expr, ParsePrimary());
  }
  ASSIGN_OR_RETURN(expr, ParsePostfix(std::move(expr)));
  return with_filters ? ParseFilters(std::move(expr)) : Result<ExprPtr>(std::move(expr));
}

}  // namespace reprise::chat_template
