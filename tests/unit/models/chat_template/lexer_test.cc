#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "models/chat_template/lexer.h"

namespace reprise::chat_template {
namespace {

// The text tokens, each in brackets, with | for every tag.
std::string Texts(const std::string& source) {
  Result<std::vector<Token>> tokens = Tokenize(NormalizeSource(source));
  if (!tokens.ok()) return tokens.status().message();
  std::string out;
  for (const Token& token : *tokens) {
    if (token.type == TokenType::kData) out += "[" + token.text + "]";
    if (token.type == TokenType::kBlockEnd || token.type == TokenType::kVariableEnd) out += "|";
  }
  return out;
}

TEST_CASE("A block on a line of its own leaves nothing of the line") {
  CHECK(Texts("a\n  {% if x %}\nb") == "[a\n]|[b]");
  CHECK(Texts("a\n  {{ x }}\nb") == "[a\n  ]|[\nb]");
  CHECK(Texts("a  {% if x %}b") == "[a  ]|[b]");
  CHECK(Texts("{% if x %}  {% if y %}") == "|[  ]|");
  CHECK(Texts("{% if x %}\n  {% if y %}\n\n\n") == "||[\n]");
}

TEST_CASE("Signs strip or keep white space") {
  CHECK(Texts("a \n {%- if x -%} \n b") == "[a]|[b]");
  CHECK(Texts("a\n  {%+ if x +%}\nb") == "[a\n  ]|[\nb]");
  CHECK(Texts("a {{- x -}} b") == "[a]|[b]");
  CHECK(Texts("a\xE3\x80\x80{{- x }}") == "[a]|");  // an ideographic space
  CHECK(Texts("a {#- c -#} b{# d #}\nc") == "[a][b][c]");
}

TEST_CASE("Brackets hide the end of a tag") {
  CHECK(Texts("{{ {'a': {}} }}x") == "|[x]");
  CHECK(Texts("{{ '}}' }}x") == "|[x]");
}

TEST_CASE("Raw blocks are text") {
  CHECK(Texts("{% raw %}{{ x }}{% endraw %}y") == "[{{ x }}][y]");
  CHECK(Texts("a {%- raw -%} b {%- endraw -%} c") == "[a][b][c]");
  CHECK(Texts("{% rawest %}x") == "|[x]");
}

TEST_CASE("Errors of the lexer name their place") {
  CHECK(Texts("a\n{{ 'x }}") == "chat template, line 2, column 4: this string is not closed");
  CHECK(Texts("{{ x") == "chat template, line 1, column 1: this tag is not closed by '}}'");
  CHECK(Texts("é{# x") == "chat template, line 1, column 2: this comment is not closed by '#}'");
  CHECK(Texts("{{ (] }}") == "chat template, line 1, column 5: unexpected ']', expected ')'");
  CHECK(Texts("{{ $ }}") == "chat template, line 1, column 4: unexpected character '$'");
  CHECK(Texts("{{ 99999999999999999999 }}") ==
        "chat template, line 1, column 4: an integer may have at most 63 bits");
  CHECK(Texts("{{ '\\ud800' }}") == "chat template, line 1, column 5: this escape names no character");
}

}  // namespace
}  // namespace reprise::chat_template
