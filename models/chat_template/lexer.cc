#include "models/chat_template/lexer.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/utf8.h"
#include "models/chat_template/text.h"

namespace reprise::chat_template {
namespace {

bool IsAsciiDigit(char c) {
  return c >= '0' && c <= '9';
}
bool IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool IsNameChar(char c) {
  return IsNameStart(c) || IsAsciiDigit(c);
}

int DigitValue(char c) {
  if (IsAsciiDigit(c)) return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'z' ? lower - 'a' + 10 : 99;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}
  Result<std::vector<Token>> Run();

 private:
  Status LexText();
  Status LexComment(std::size_t begin);
  Status LexRaw(std::size_t begin, std::size_t body);
  Status LexTag(TokenType end_type);
  Status LexTagToken();
  void LexName();
  Status LexNumber();
  Status LexInteger(std::size_t begin, std::size_t end);
  Status LexString();
  Status LexEscape(std::size_t end, std::string* out);
  Status LexCodePoint(std::size_t digits, std::size_t end, std::string* out);
  Status LexOperator();

  bool At(std::string_view text) const { return source_.substr(pos_, text.size()) == text; }
  Status Error(std::size_t offset, const std::string& what) const {
    return SyntaxError(source_, offset, what);
  }
  void Emit(TokenType type, std::size_t offset, std::string text = {});
  void EmitData(std::size_t begin, std::string_view text, char sign, bool is_variable);
  std::size_t SkipSpace(std::size_t pos) const;
  std::size_t DigitsEnd(std::size_t pos) const;
  std::optional<std::size_t> RawTagEnd(std::size_t begin, std::string_view name) const;
  void EndTag(std::size_t sign_pos, bool trims_newline);

  const std::string_view source_;
  std::size_t pos_ = 0;
  bool line_starting_ = true;  // the text lexed so far ends with a line break, or is empty
  std::string open_brackets_;  // closers still owed, innermost last
  std::vector<Token> tokens_;
};

void Lexer::Emit(TokenType type, std::size_t offset, std::string text) {
  Token token;
  token.type = type;
  token.offset = offset;
  token.text = std::move(text);
  tokens_.push_back(std::move(token));
}

// The text in front of a tag: '-' strips all white space, otherwise lstrip_blocks strips the indentation of a
// tag that begins its line, unless the sign is '+' or the tag prints.
void Lexer::EmitData(std::size_t begin, std::string_view text, char sign, bool is_variable) {
  if (sign == '-') {
    text = StripSpace(text, Side::kRight);
  } else if (sign != '+' && !is_variable) {
    const std::size_t line_break = text.rfind('\n');
    const std::size_t line = line_break == std::string_view::npos ? 0 : line_break + 1;
    if ((line > 0 || line_starting_) && StripSpace(text.substr(line), Side::kRight).empty()) {
      text = text.substr(0, line);
    }
  }
  if (!text.empty()) Emit(TokenType::kData, begin, std::string(text));
}

std::size_t Lexer::SkipSpace(std::size_t pos) const {
  return source_.size() - StripSpace(source_.substr(pos), Side::kLeft).size();
}

// Moves past the two characters that close a tag, the sign in front of them and the white space they take
// with them.
void Lexer::EndTag(std::size_t sign_pos, bool trims_newline) {
  const char sign = source_[sign_pos];
  const bool has_sign = sign == '-' || sign == '+';
  pos_ = sign_pos + (has_sign ? 3 : 2);
  if (sign == '-') {
    pos_ = SkipSpace(pos_);
  } else if (sign != '+' && trims_newline && pos_ < source_.size() && source_[pos_] == '\n') {
    ++pos_;
  }
  line_starting_ = source_[pos_ - 1] == '\n';
}

Result<std::vector<Token>> Lexer::Run() {
  while (pos_ < source_.size()) RETURN_IF_ERROR(LexText());
  Emit(TokenType::kEnd, source_.size());
  return std::move(tokens_);
}

// Text up to and including the next tag's opening, then the tag.
Status Lexer::LexText() {
  const std::size_t begin = pos_;
  std::size_t tag = source_.find('{', begin);
  while (tag != std::string_view::npos &&
         (tag + 1 >= source_.size() ||
          std::string_view("%{#").find(source_[tag + 1]) == std::string_view::npos)) {
    tag = source_.find('{', tag + 1);
  }
  if (tag == std::string_view::npos) {
    Emit(TokenType::kData, begin, std::string(source_.substr(begin)));
    pos_ = source_.size();
    return OkStatus();
  }
  const char kind = source_[tag + 1];
  const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
  EmitData(begin, source_.substr(begin, tag - begin), sign, kind == '{');
  if (kind == '%') {
    if (std::optional<std::size_t> raw = RawTagEnd(tag, "raw")) {
      const std::size_t close = *raw - (source_[*raw - 3] == '-' ? 3 : 2);
      EndTag(close, /*trims_newline=*/false);
      return LexRaw(tag, pos_);
    }
  }
  pos_ = tag + (sign == '-' || sign == '+' ? 3 : 2);
  line_starting_ = false;
  if (kind == '#') return LexComment(tag);
  Emit(kind == '%' ? TokenType::kBlockBegin : TokenType::kVariableBegin, tag);
  return LexTag(kind == '%' ? TokenType::kBlockEnd : TokenType::kVariableEnd);
}

Status Lexer::LexComment(std::size_t begin) {
  const std::size_t close = source_.find("#}", pos_);
  if (close == std::string_view::npos) return Error(begin, "this comment is not closed by '#}'");
  const bool has_sign = close > pos_ && (source_[close - 1] == '-' || source_[close - 1] == '+');
  EndTag(has_sign ? close - 1 : close, /*trims_newline=*/true);
  return OkStatus();
}

// If `{%` at `begin` is a tag of nothing but `name`, where it ends.
std::optional<std::size_t> Lexer::RawTagEnd(std::size_t begin, std::string_view name) const {
  std::size_t pos = begin + 2;
  if (pos < source_.size() && (source_[pos] == '-' || source_[pos] == '+')) ++pos;
  pos = SkipSpace(pos);
  if (source_.substr(pos, name.size()) != name) return std::nullopt;
  pos = SkipSpace(pos + name.size());
  const bool may_have_plus = name == "endraw";
  if (source_.substr(pos, 1) == "-" || (may_have_plus && source_.substr(pos, 1) == "+")) ++pos;
  if (source_.substr(pos, 2) != "%}") return std::nullopt;
  return pos + 2;
}

Status Lexer::LexRaw(std::size_t begin, std::size_t body) {
  for (std::size_t tag = source_.find("{%", body); tag != std::string_view::npos;
       tag = source_.find("{%", tag + 1)) {
    const std::optional<std::size_t> end = RawTagEnd(tag, "endraw");
    if (!end) continue;
    EmitData(body, source_.substr(body, tag - body), source_[tag + 2], /*is_variable=*/false);
    const char sign = source_[*end - 3];
    EndTag(*end - (sign == '-' || sign == '+' ? 3 : 2), /*trims_newline=*/true);
    return OkStatus();
  }
  return Error(begin, "this raw block is not closed by '{% endraw %}'");
}

// Everything up to the end of a {{ }} or {% %} tag. Inside brackets the closing characters are operators.
Status Lexer::LexTag(TokenType end_type) {
  const std::size_t begin = tokens_.back().offset;
  const std::string_view close = end_type == TokenType::kBlockEnd ? "%}" : "}}";
  const bool allows_plus = end_type == TokenType::kBlockEnd;
  open_brackets_.clear();
  while (pos_ < source_.size()) {
    pos_ = SkipSpace(pos_);
    const bool has_sign = At("-") || (allows_plus && At("+"));
    if (open_brackets_.empty() && source_.substr(pos_ + (has_sign ? 1 : 0), 2) == close) {
      Emit(end_type, pos_);
      EndTag(pos_, /*trims_newline=*/end_type == TokenType::kBlockEnd);
      return OkStatus();
    }
    if (pos_ < source_.size()) RETURN_IF_ERROR(LexTagToken());
  }
  return Error(begin, "this tag is not closed by '" + std::string(close) + "'");
}

Status Lexer::LexTagToken() {
  const char c = source_[pos_];
  if (IsAsciiDigit(c)) return LexNumber();
  if (c == '\'' || c == '"') return LexString();
  if (!IsNameStart(c)) return LexOperator();
  LexName();
  return OkStatus();
}

void Lexer::LexName() {
  const std::size_t begin = pos_;
  while (pos_ < source_.size() && IsNameChar(source_[pos_])) ++pos_;
  Emit(TokenType::kName, begin, std::string(source_.substr(begin, pos_ - begin)));
}

// The end of digits that may be separated by single underscores.
std::size_t Lexer::DigitsEnd(std::size_t pos) const {
  while (pos < source_.size() &&
         (IsAsciiDigit(source_[pos]) ||
          (source_[pos] == '_' && pos + 1 < source_.size() && IsAsciiDigit(source_[pos + 1])))) {
    ++pos;
  }
  return pos;
}

Status Lexer::LexNumber() {
  const std::size_t begin = pos_;
  const bool follows_dot = begin > 0 && source_[begin - 1] == '.';
  std::size_t end = DigitsEnd(begin);
  bool is_float = false;
  if (!follows_dot) {
    if (end + 1 < source_.size() && source_[end] == '.' && IsAsciiDigit(source_[end + 1])) {
      end = DigitsEnd(end + 1);
      is_float = true;
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      std::size_t exponent = end + 1;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) ++exponent;
      if (exponent < source_.size() && IsAsciiDigit(source_[exponent])) {
        end = DigitsEnd(exponent);
        is_float = true;
      }
    }
  }
  if (!is_float) return LexInteger(begin, end);
  std::string digits(source_.substr(begin, end - begin));
  std::erase(digits, '_');
  Emit(TokenType::kFloat, begin, digits);
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), tokens_.back().number);
  if (parsed.ec != std::errc()) return Error(begin, "the number " + digits + " is out of range");
  pos_ = end;
  return OkStatus();
}

Status Lexer::LexInteger(std::size_t begin, std::size_t end) {
  int base = 10;
  if (end == begin + 1 && source_[begin] == '0' && end < source_.size()) {
    const char marker = static_cast<char>(source_[end] | 0x20);
    base = marker == 'x' ? 16 : marker == 'o' ? 8 : marker == 'b' ? 2 : 10;
  }
  std::size_t digits_begin = begin;
  if (base != 10) {
    digits_begin = end + 1;
    end = digits_begin;
    while (end < source_.size() && (DigitValue(source_[end]) < base || source_[end] == '_')) ++end;
  }
  std::string digits(source_.substr(digits_begin, end - digits_begin));
  std::erase(digits, '_');
  Emit(TokenType::kInteger, begin, digits);
  const auto parsed =
      std::from_chars(digits.data(), digits.data() + digits.size(), tokens_.back().integer, base);
  if (parsed.ec == std::errc::result_out_of_range) return Error(begin, "an integer may have at most 63 bits");
  if (parsed.ec != std::errc()) return Error(begin, "a number needs digits here");
  pos_ = end;
  return OkStatus();
}

Status Lexer::LexString() {
  const std::size_t begin = pos_;
  const char quote = source_[begin];
  std::size_t end = begin + 1;
  while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
  if (end >= source_.size()) return Error(begin, "this string is not closed");
  std::string text;
  pos_ = begin + 1;
  while (pos_ < end) {
    if (source_[pos_] == '\\') {
      RETURN_IF_ERROR(LexEscape(end, &text));
    } else {
      text.push_back(source_[pos_++]);
    }
  }
  Emit(TokenType::kString, begin, std::move(text));
  pos_ = end + 1;
  return OkStatus();
}

// Python's escapes; an unknown one stays as it is written.
Status Lexer::LexEscape(std::size_t end, std::string* out) {
  static constexpr std::string_view kNames = "\\'\"abfnrtv";
  static constexpr std::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
  const char c = source_[pos_ + 1];
  if (c == '\n') {
    pos_ += 2;
    return OkStatus();
  }
  if (c == 'x' || c == 'u' || c == 'U') return LexCodePoint(c == 'x' ? 2 : c == 'u' ? 4 : 8, end, out);
  if (c == 'N') return Error(pos_, "named characters (\\N{...}) are not supported; use \\u");
  if (c >= '0' && c <= '7') {
    char32_t value = 0;
    std::size_t pos = pos_ + 1;
    for (; pos < end && pos < pos_ + 4 && source_[pos] >= '0' && source_[pos] <= '7'; ++pos) {
      value = value * 8 + static_cast<char32_t>(source_[pos] - '0');
    }
    AppendUtf8(value, out);
    pos_ = pos;
    return OkStatus();
  }
  if (const std::size_t known = kNames.find(c); known != std::string_view::npos) {
    out->push_back(kMeanings[known]);
  } else {
    out->append(source_.substr(pos_, 2));
  }
  pos_ += 2;
  return OkStatus();
}

Status Lexer::LexCodePoint(std::size_t digits, std::size_t end, std::string* out) {
  const std::string_view hex = source_.substr(pos_ + 2, std::min(digits, end - pos_ - 2));
  std::uint32_t value = 0;
  const auto parsed = std::from_chars(hex.data(), hex.data() + hex.size(), value, 16);
  const bool whole =
      hex.size() == digits && parsed.ec == std::errc() && parsed.ptr == hex.data() + hex.size();
  if (!whole) return Error(pos_, "this escape needs " + std::to_string(digits) + " hexadecimal digits");
  const bool is_surrogate = value >= 0xD800 && value < 0xE000;
  if (value > 0x10FFFF || is_surrogate) return Error(pos_, "this escape names no character");
  AppendUtf8(value, out);
  pos_ += 2 + digits;
  return OkStatus();
}

Status Lexer::LexOperator() {
  static constexpr std::string_view kLong[] = {"//", "**", "==", "!=", ">=", "<="};
  static constexpr std::string_view kShort = "+-/*%~[](){}><=.:|,;";
  std::size_t size = 1;
  for (std::string_view candidate : kLong) {
    if (At(candidate)) size = 2;
  }
  const char c = source_[pos_];
  if (size == 1 && kShort.find(c) == std::string_view::npos) {
    return Error(pos_, "unexpected character '" + std::string(1, c) + "'");
  }
  if (c == '(' || c == '[' || c == '{') open_brackets_.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
  if (c == ')' || c == ']' || c == '}') {
    if (open_brackets_.empty()) return Error(pos_, "unexpected '" + std::string(1, c) + "'");
    if (open_brackets_.back() != c) {
      return Error(pos_, "unexpected '" + std::string(1, c) + "', expected '" + open_brackets_.back() + "'");
    }
    open_brackets_.pop_back();
  }
  Emit(TokenType::kOperator, pos_, std::string(source_.substr(pos_, size)));
  pos_ += size;
  return OkStatus();
}

}  // namespace

std::string NormalizeSource(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text.push_back(source[i]);
      continue;
    }
    text.push_back('\n');
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string DescribePosition(std::string_view source, std::size_t offset) {
  const std::string_view before = source.substr(0, offset);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t line_break = before.rfind('\n');
  const std::string_view in_line =
      line_break == std::string_view::npos ? before : before.substr(line_break + 1);
  return "line " + std::to_string(line) + ", column " + std::to_string(1 + CountCharacters(in_line));
}

Status SyntaxError(std::string_view source, std::size_t offset, const std::string& what) {
  return InvalidArgument("chat template, " + DescribePosition(source, offset) + ": " + what);
}

Result<std::vector<Token>> Tokenize(std::string_view source) {
  return Lexer(source).Run();
}

}  // namespace reprise::chat_template
