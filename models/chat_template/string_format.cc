#include "models/chat_template/string_format.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>

#include "base/utf8.h"
#include "models/chat_template/attributes.h"
#include "models/chat_template/formatting.h"
#include "models/chat_template/operators.h"
#include "models/chat_template/text.h"

namespace reprise::chat_template {
namespace {

constexpr std::int64_t kMaxWidth = 1 << 20;
constexpr std::int64_t kMaxPrecision = 1000;

// [[fill]align][sign][#][0][width][,][.precision][type]
struct FormatSpec {
  std::string fill = " ";
  char align = '\0';  // < > ^ =, or the type's own when not given
  char sign = '-';
  char separator = '\0';  // of thousands
  char type = '\0';
  bool has_prefix = false;
  std::int64_t width = 0;
  std::int64_t precision = -1;
};

bool IsOneOf(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}

// Reads digits at `*pos`; -1 when there are none, and at most `limit` + 1.
std::int64_t ReadNumber(std::string_view text, std::size_t* pos, std::int64_t limit) {
  std::int64_t number = -1;
  for (; *pos < text.size() && IsOneOf(text[*pos], "0123456789"); ++*pos) {
    number = std::min(limit + 1, (number < 0 ? 0 : number) * 10 + (text[*pos] - '0'));
  }
  return number;
}

Status CheckSpec(const FormatSpec& spec) {
  if (spec.width > kMaxWidth)
    return InvalidArgument("a format width may be at most " + std::to_string(kMaxWidth));
  if (spec.precision <= kMaxPrecision) return OkStatus();
  return InvalidArgument("a format precision may be at most " + std::to_string(kMaxPrecision));
}

Result<FormatSpec> ParseSpec(std::string_view text) {
  FormatSpec spec;
  std::size_t pos = 0;
  if (!text.empty()) {
    std::size_t fill_end = 0;
    DecodeUtf8(text, &fill_end);
    if (fill_end < text.size() && IsOneOf(text[fill_end], "<>^=")) {
      spec.fill = text.substr(0, fill_end);
      spec.align = text[fill_end];
      pos = fill_end + 1;
    } else if (IsOneOf(text[0], "<>^=")) {
      spec.align = text[0];
      pos = 1;
    }
  }
  const auto at = [&](std::string_view set) { return pos < text.size() && IsOneOf(text[pos], set); };
  if (at("+- ")) spec.sign = text[pos++];
  if (at("#")) spec.has_prefix = ++pos > 0;
  if (at("0")) {
    if (spec.align == '\0') {
      spec.fill = "0";
      spec.align = '=';
    }
    ++pos;
  }
  spec.width = std::max<std::int64_t>(0, ReadNumber(text, &pos, kMaxWidth));
  if (at(",_")) spec.separator = text[pos++];
  if (at(".")) {
    ++pos;
    spec.precision = ReadNumber(text, &pos, kMaxPrecision);
    if (spec.precision < 0) return InvalidArgument("a format specification lacks its precision");
  }
  if (pos < text.size()) spec.type = text[pos++];
  if (pos < text.size()) return InvalidArgument("invalid format specification '" + std::string(text) + "'");
  RETURN_IF_ERROR(CheckSpec(spec));
  return spec;
}

// `sign` stays in front of the padding when the alignment is '='.
Result<std::string> Pad(Runtime& runtime, const std::string& sign, const std::string& text,
                        const FormatSpec& spec, char default_align) {
  const std::size_t size = CountCharacters(sign) + CountCharacters(text);
  const std::size_t missing = static_cast<std::size_t>(spec.width) > size ? spec.width - size : 0;
  RETURN_IF_ERROR(runtime.budget().Produce(sign.size() + text.size() + missing * spec.fill.size()));
  const auto fill = [&](std::size_t count) {
    std::string padding;
    while (count-- > 0) padding += spec.fill;
    return padding;
  };
  const char align = spec.align != '\0' ? spec.align : default_align;
  if (align == '<') return sign + text + fill(missing);
  if (align == '>') return fill(missing) + sign + text;
  if (align == '=') return sign + fill(missing) + text;
  return fill(missing / 2) + sign + text + fill(missing - missing / 2);
}

std::string SignOf(bool is_negative, char mode) {
  if (is_negative) return "-";
  return mode == '-' ? "" : std::string(1, mode);
}

std::string GroupThousands(const std::string& digits, char separator) {
  const std::size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  std::string grouped;
  for (std::size_t i = 0; i < whole; ++i) {
    if (separator != '\0' && i > 0 && (whole - i) % 3 == 0) grouped += separator;
    grouped += digits[i];
  }
  return grouped + digits.substr(whole);
}

Result<std::string> FormatInteger(Runtime& runtime, std::int64_t value, const FormatSpec& spec) {
  const bool is_negative = value < 0;
  const std::uint64_t rest =
      is_negative ? -static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  const char type = spec.type == '\0' ? 'd' : spec.type;
  if (!IsOneOf(type, "dnxXob")) {
    return InvalidArgument(std::string("format type '") + type + "' does not fit an integer");
  }
  const unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
  char buffer[64];  // as many digits as base 2 has
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, rest, static_cast<int>(base));
  REPRISE_CHECK(error == std::errc());
  std::string digits(buffer, end);
  if (type == 'X') {
    for (char& digit : digits) digit = digit >= 'a' ? static_cast<char>(digit - 'a' + 'A') : digit;
  }
  const auto wanted = static_cast<std::size_t>(std::max<std::int64_t>(spec.precision, 0));
  if (digits.size() < wanted) digits.insert(0, wanted - digits.size(), '0');
  const std::string prefix = spec.has_prefix && base != 10 ? std::string("0") + type : "";
  return Pad(runtime, SignOf(is_negative, spec.sign) + prefix, GroupThousands(digits, spec.separator), spec,
             '>');
}

Result<std::string> FormatReal(Runtime& runtime, double value, const FormatSpec& spec) {
  const bool is_percent = spec.type == '%';
  const char type = is_percent ? 'f' : spec.type;
  std::string digits;
  if (type == '\0' && spec.precision < 0) {
    digits = FormatFloat(std::fabs(value));
  } else {
    if (!IsOneOf(type == '\0' ? 'g' : type, "fFeEgG")) {
      return InvalidArgument(std::string("format type '") + type + "' does not fit a number with a fraction");
    }
    const char format[] = {'%', '.', '*', type == '\0' ? 'g' : type, '\0'};
    char buffer[kMaxPrecision + 400];
    const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
    std::snprintf(buffer, sizeof buffer, format, precision, std::fabs(value) * (is_percent ? 100 : 1));
    digits = buffer;
  }
  if (is_percent) digits += '%';
  return Pad(runtime, SignOf(std::signbit(value), spec.sign), GroupThousands(digits, spec.separator), spec,
             '>');
}

Result<std::string> FormatText(Runtime& runtime, std::string_view text, const FormatSpec& spec) {
  if (spec.type != '\0' && spec.type != 's') {
    return InvalidArgument(std::string("format type '") + spec.type + "' does not fit a string");
  }
  if (spec.align == '=' && spec.fill != "0") return InvalidArgument("'=' alignment does not fit a string");
  if (spec.precision >= 0) {
    RETURN_IF_ERROR(runtime.budget().Scan(text.size() * 4));
    const CharacterIndex index(text);
    text = text.substr(0, index.Offset(std::min(index.size(), static_cast<std::size_t>(spec.precision))));
  }
  FormatSpec padded = spec;
  if (padded.align == '=') padded.align = '<';
  return Pad(runtime, "", std::string(text), padded, '<');
}

// format(value, spec)
Result<std::string> FormatValue(Runtime& runtime, const Value& value, const FormatSpec& spec, bool has_spec) {
  RETURN_IF_ERROR(has_spec ? CheckDefined(value) : OkStatus());
  if (!has_spec || value.AsString() != nullptr) {
    ASSIGN_OR_RETURN(const Value text, ToText(runtime, value));
    return FormatText(runtime, *text.AsString(), spec);
  }
  const std::optional<std::int64_t> integer = IntegerOf(value);
  if (integer && !IsOneOf(spec.type, "fFeEgG%")) return FormatInteger(runtime, *integer, spec);
  if (const std::optional<double> number = NumberOf(value)) return FormatReal(runtime, *number, spec);
  return InvalidArgument("'" + TypeName(value) + "' takes no format specification");
}

// The conversions of one 'format % values'.
class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Value& format, const Value& values)
      : runtime_(runtime), escapes_(format.IsMarkup()), format_(*format.AsString()), values_(values) {
    const Sequence* sequence = values.AsSequence();
    if (sequence != nullptr && sequence->kind == SequenceKind::kTuple) {
      items_ = sequence->items;
    } else {
      items_ = {values};
    }
  }

  Result<Value> Run();

 private:
  Status Convert();
  Result<Value> NextValue();
  Result<Value> NamedValue();
  Status ReadFlags(FormatSpec* spec);
  Result<std::int64_t> ReadSize(std::int64_t limit);
  Result<std::string> Format(const Value& value, FormatSpec spec, char type);

  Runtime& runtime_;
  const bool escapes_;  // the format is markup
  const std::string_view format_;
  const Value& values_;
  List items_;
  std::size_t next_ = 0;
  std::size_t pos_ = 0;
  bool uses_names_ = false;
  std::string out_;
};

Result<Value> PercentFormatter::Run() {
  RETURN_IF_ERROR(runtime_.budget().Produce(format_.size()));
  while (pos_ < format_.size()) {
    const std::size_t percent = std::min(format_.find('%', pos_), format_.size());
    out_ += format_.substr(pos_, percent - pos_);
    pos_ = percent + 1;
    if (percent < format_.size()) RETURN_IF_ERROR(Convert());
  }
  const bool may_ignore = uses_names_ || values_.AsMapping() != nullptr;
  if (next_ < items_.size() && !may_ignore) {
    return InvalidArgument("not all arguments are converted by the format '" +
                           std::string(format_.substr(0, 80)) + "'");
  }
  return escapes_ ? Value(Markup{std::move(out_)}) : Value(std::move(out_));
}

Result<Value> PercentFormatter::NextValue() {
  if (next_ >= items_.size()) return InvalidArgument("the format needs more arguments");
  return items_[next_++];
}

Result<Value> PercentFormatter::NamedValue() {
  const std::size_t end = format_.find(')', pos_);
  if (end == std::string_view::npos) return InvalidArgument("a format name is not closed by ')'");
  const std::string_view name = format_.substr(pos_ + 1, end - pos_ - 1);
  pos_ = end + 1;
  uses_names_ = true;
  const Mapping* mapping = values_.AsMapping();
  if (mapping == nullptr) return InvalidArgument("the format needs a dict");
  if (const Value* value = FindKey(mapping->items, name)) return *value;
  return InvalidArgument("the format needs a value for '" + std::string(name) + "'");
}

Status PercentFormatter::ReadFlags(FormatSpec* spec) {
  for (; pos_ < format_.size() && IsOneOf(format_[pos_], "-+ #0"); ++pos_) {
    const char flag = format_[pos_];
    if (flag == '-') spec->align = '<';
    if (flag == '+' || (flag == ' ' && spec->sign != '+')) spec->sign = flag;
    if (flag == '#') spec->has_prefix = true;
    if (flag == '0' && spec->align != '<') {
      spec->align = '=';
      spec->fill = "0";
    }
  }
  if (spec->align == '<') spec->fill = " ";
  return OkStatus();
}

// A width or a precision: digits, or '*' for the next argument.
Result<std::int64_t> PercentFormatter::ReadSize(std::int64_t limit) {
  if (pos_ >= format_.size() || format_[pos_] != '*') return ReadNumber(format_, &pos_, limit);
  ++pos_;
  ASSIGN_OR_RETURN(const Value size, NextValue());
  if (size.AsInt() == nullptr) return InvalidArgument("'*' in a format needs an integer");
  return *size.AsInt();
}

Status PercentFormatter::Convert() {
  RETURN_IF_ERROR(runtime_.budget().Step());
  std::optional<Value> value;
  if (pos_ < format_.size() && format_[pos_] == '(') {
    ASSIGN_OR_RETURN(value, NamedValue());
  }
  FormatSpec spec;
  RETURN_IF_ERROR(ReadFlags(&spec));
  ASSIGN_OR_RETURN(spec.width, ReadSize(kMaxWidth));
  if (spec.width < 0) spec.width = 0;
  if (pos_ < format_.size() && format_[pos_] == '.') {
    ++pos_;
    ASSIGN_OR_RETURN(spec.precision, ReadSize(kMaxPrecision));
    if (spec.precision < 0) spec.precision = 0;
  }
  RETURN_IF_ERROR(CheckSpec(spec));
  while (pos_ < format_.size() && IsOneOf(format_[pos_], "hlL")) ++pos_;
  if (pos_ >= format_.size()) return InvalidArgument("the format ends inside a conversion");
  const char type = format_[pos_++];
  if (type == '%') {
    out_ += '%';
    return OkStatus();
  }
  if (!value) {
    ASSIGN_OR_RETURN(value, NextValue());
  }
  ASSIGN_OR_RETURN(const std::string text, Format(*value, spec, type));
  out_ += text;
  return OkStatus();
}

Result<std::string> PercentFormatter::Format(const Value& value, FormatSpec spec, char type) {
  if (type == 's' || type == 'r') {
    spec.fill = " ";
    if (spec.align != '<') spec.align = '>';
    std::string text;
    RETURN_IF_ERROR(type == 's' ? AppendText(runtime_, value, &text) : AppendRepr(runtime_, value, &text));
    if (escapes_ && !value.IsMarkup()) {
      ASSIGN_OR_RETURN(const Value escaped, EscapeText(runtime_, std::move(text)));
      return FormatText(runtime_, *escaped.AsString(), spec);
    }
    return FormatText(runtime_, text, spec);
  }
  RETURN_IF_ERROR(CheckDefined(value));
  const std::optional<double> number = NumberOf(value);
  if (!number) {
    return InvalidArgument(std::string("format '%") + type + "' needs a number, not '" + TypeName(value) +
                           "'");
  }
  if (IsOneOf(type, "fFeEgG")) {
    spec.type = type;
    return FormatReal(runtime_, *number, spec);
  }
  const bool is_decimal = type == 'd' || type == 'i' || type == 'u';
  std::optional<std::int64_t> integer = IntegerOf(value);
  if (is_decimal && !integer) integer = Truncate(*number);
  if (!integer || !(is_decimal || IsOneOf(type, "xXo"))) {
    return InvalidArgument(std::string("format '%") + type + "' is not supported for '" + TypeName(value) +
                           "'");
  }
  spec.type = is_decimal ? 'd' : type;
  return FormatInteger(runtime_, *integer, spec);
}

// The value a replacement field names: by position, by name, or the next one.
Result<Value> FieldValue(std::string_view name, const CallArguments& values, std::size_t* next) {
  std::size_t pos = 0;
  const std::int64_t position = ReadNumber(name, &pos, kMaxWidth);
  if (name.empty() || (position >= 0 && pos == name.size())) {
    const std::size_t index = name.empty() ? (*next)++ : static_cast<std::size_t>(position);
    if (index < values.positional.size()) return values.positional[index];
    return InvalidArgument("format needs an argument number " + std::to_string(index));
  }
  for (const auto& [key, value] : values.keyword) {
    if (key == name) return value;
  }
  return InvalidArgument("format has no argument '" + std::string(name) + "'");
}

// One field, without its braces: [name][!conversion][:specification]
Result<std::string> FormatField(Runtime& runtime, std::string_view field, const CallArguments& values,
                                std::size_t* next) {
  const std::size_t colon = std::min(field.find(':'), field.size());
  std::string_view name = field.substr(0, colon);
  char conversion = '\0';
  if (name.size() >= 2 && name[name.size() - 2] == '!') {
    conversion = name.back();
    name.remove_suffix(2);
  }
  ASSIGN_OR_RETURN(Value value, FieldValue(name, values, next));
  if (conversion == 'r') {
    std::string text;
    RETURN_IF_ERROR(AppendRepr(runtime, value, &text));
    value = Value(std::move(text));
  } else if (conversion == 's') {
    ASSIGN_OR_RETURN(value, ToText(runtime, value));
  } else if (conversion != '\0') {
    return InvalidArgument(std::string("format conversion '!") + conversion + "' is not supported");
  }
  const std::string_view specification = colon < field.size() ? field.substr(colon + 1) : std::string_view();
  ASSIGN_OR_RETURN(const FormatSpec spec, ParseSpec(specification));
  return FormatValue(runtime, value, spec, !specification.empty());
}

}  // namespace

Result<Value> FormatPercent(Runtime& runtime, const Value& format, const Value& values) {
  return PercentFormatter(runtime, format, values).Run();
}

Result<Value> FormatBraces(Runtime& runtime, std::string_view format, const CallArguments& values) {
  RETURN_IF_ERROR(runtime.budget().Produce(format.size()));
  std::string out;
  std::size_t next = 0;
  for (std::size_t pos = 0; pos < format.size();) {
    const char c = format[pos];
    if (c != '{' && c != '}') {
      out += c;
      ++pos;
      continue;
    }
    if (format.substr(pos + 1, 1) == std::string_view(&c, 1)) {
      out += c;
      pos += 2;
      continue;
    }
    const std::size_t end = format.find('}', pos + 1);
    if (c == '}' || end == std::string_view::npos)
      return InvalidArgument("a single brace in a format string");
    ASSIGN_OR_RETURN(const std::string text,
                     FormatField(runtime, format.substr(pos + 1, end - pos - 1), values, &next));
    out += text;
    pos = end + 1;
  }
  return Value(std::move(out));
}

}  // namespace reprise::chat_template
