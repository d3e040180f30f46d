// Jinja source to tokens, with the white space rules of trim_blocks and lstrip_blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace reprise::chat_template {

enum class TokenType : std::uint8_t {
  kData,           // text outside tags: `text`
  kVariableBegin,  // {{
  kVariableEnd,    // }}
  kBlockBegin,     // {%
  kBlockEnd,       // %}
  kName,           // `text`
  kString,         // `text`, escapes resolved
  kInteger,        // `integer`
  kFloat,          // `number`
  kOperator,       // `text`
  kEnd,
};

struct Token {
  TokenType type = TokenType::kEnd;
  std::size_t offset = 0;  // where it starts in the source
  std::string text;
  std::int64_t integer = 0;
  double number = 0;

  bool Is(TokenType t, std::string_view value) const { return type == t && text == value; }
};

// Line breaks become '\n' and one at the very end is dropped, as Jinja does. Offsets are into this text.
std::string NormalizeSource(std::string_view source);

// "line 3, column 5", both counted from 1 and columns in characters.
std::string DescribePosition(std::string_view source, std::size_t offset);

// INVALID_ARGUMENT with the position in front.
Status SyntaxError(std::string_view source, std::size_t offset, const std::string& what);

// The tokens of a normalized source, ended by one kEnd.
Result<std::vector<Token>> Tokenize(std::string_view source);

}  // namespace reprise::chat_template
