// Filters that make numbers.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "models/chat_template/arguments.h"
#include "models/chat_template/function_tables.h"
#include "models/chat_template/operators.h"
#include "models/chat_template/runtime.h"
#include "models/chat_template/text.h"

namespace reprise::chat_template {
namespace {

// Digits may be separated by single underscores.
std::optional<std::string> WithoutUnderscores(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || text[i - 1] == '_') {
      return std::nullopt;
    }
  }
  return out;
}

// int(text, base); nothing when the text is no such number.
Result<std::optional<std::int64_t>> ParseInteger(std::string_view text, int base) {
  text = StripSpace(text, Side::kBoth);
  bool is_negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    is_negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text.size() > 2 && text[0] == '0') {
    const char marker = static_cast<char>(text[1] | 0x20);
    const int marked = marker == 'x' ? 16 : marker == 'o' ? 8 : marker == 'b' ? 2 : 0;
    if (marked != 0 && (base == marked || base == 0)) {
      base = marked;
      text.remove_prefix(2);
    }
  }
  const std::optional<std::string> digits = WithoutUnderscores(text);
  if (!digits || digits->empty() || (*digits)[0] == '-') return std::optional<std::int64_t>();
  std::int64_t value = 0;
  const char* end = digits->data() + digits->size();
  const auto parsed = std::from_chars(digits->data(), end, value, base == 0 ? 10 : base);
  if (parsed.ptr != end) return std::optional<std::int64_t>();
  if (parsed.ec == std::errc::result_out_of_range)
    return InvalidArgument("an integer may have at most 63 bits");
  return parsed.ec == std::errc() ? std::optional(is_negative ? -value : value) : std::nullopt;
}

// float(text); nothing when the text is no number.
std::optional<double> ParseFloat(std::string_view text) {
  text = StripSpace(text, Side::kBoth);
  if (!text.empty() && text[0] == '+') {
    text.remove_prefix(1);
    if (!text.empty() && (text[0] == '-' || text[0] == '+')) return std::nullopt;
  }
  const std::optional<std::string> digits = WithoutUnderscores(text);
  if (!digits || digits->find('(') != std::string::npos) return std::nullopt;
  double value = 0;
  const char* end = digits->data() + digits->size();
  const auto parsed = std::from_chars(digits->data(), end, value);
  if (parsed.ptr != end || parsed.ec == std::errc::invalid_argument) return std::nullopt;
  // Too large is infinity and too small is zero, as strtod knows.
  return parsed.ec == std::errc() ? value : std::strtod(digits->c_str(), nullptr);
}

Result<Value> Int(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("int", {"default", "base"}, 0, arguments));
  const Value fallback = bound[0] == nullptr ? Value(0) : *bound[0];
  ASSIGN_OR_RETURN(const std::int64_t base, bound.Integer(1, 10));
  if (base != 0 && (base < 2 || base > 36))
    return InvalidArgument("the base of int must be 0 or from 2 to 36");
  RETURN_IF_ERROR(CheckDefined(input));
  if (const std::optional<std::int64_t> integer = IntegerOf(input)) return Value(*integer);
  std::optional<double> number = NumberOf(input);
  if (const std::string* text = input.AsString()) {
    RETURN_IF_ERROR(runtime.budget().Scan(text->size() * 4));
    ASSIGN_OR_RETURN(const std::optional<std::int64_t> parsed, ParseInteger(*text, static_cast<int>(base)));
    if (parsed) return Value(*parsed);
    number = ParseFloat(*text);  // "42.23" is 42
    if (number && std::isinf(*number)) return fallback;
  }
  if (!number || std::isnan(*number)) return fallback;
  const std::optional<std::int64_t> truncated = Truncate(*number);
  if (!truncated) return InvalidArgument("the number does not fit in a 64-bit integer");
  return Value(*truncated);
}

Result<Value> Float(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("float", {"default"}, 0, arguments));
  RETURN_IF_ERROR(CheckDefined(input));
  std::optional<double> number = NumberOf(input);
  if (const std::string* text = input.AsString()) {
    RETURN_IF_ERROR(runtime.budget().Scan(text->size() * 4));
    number = ParseFloat(*text);
  }
  if (number) return Value(*number);
  return bound[0] == nullptr ? Value(0.0) : *bound[0];
}

Result<Value> Abs(Runtime&, const Value& input, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("abs", {}, 0, arguments).status());
  RETURN_IF_ERROR(CheckDefined(input));
  const std::optional<double> number = NumberOf(input);
  if (!number) return InvalidArgument("abs needs a number, not '" + TypeName(input) + "'");
  if (const std::optional<std::int64_t> integer = IntegerOf(input))
    return *integer < 0 ? Negate(input) : Value(*integer);
  return Value(std::fabs(*number));
}

// To the nearest, ties to even, at 10^-precision.
Result<Value> RoundCommon(const Value& input, double number, std::int64_t precision) {
  if (precision >= 0) {
    if (const std::optional<std::int64_t> integer = IntegerOf(input)) return Value(*integer);
    char buffer[400];
    std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), number);
    return Value(std::strtod(buffer, nullptr));
  }
  const double scale = std::pow(10.0, static_cast<double>(-precision));
  const double rounded = std::nearbyint(number / scale) * scale;
  const bool is_integer = IntegerOf(input).has_value();
  const std::optional<std::int64_t> truncated = Truncate(rounded);
  return is_integer && truncated ? Value(*truncated) : Value(rounded);
}

Result<Value> Round(Runtime&, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("round", {"precision", "method"}, 0, arguments));
  ASSIGN_OR_RETURN(const std::int64_t precision, bound.Integer(0, 0));
  ASSIGN_OR_RETURN(const std::string_view method, bound.Text(1, "common"));
  RETURN_IF_ERROR(CheckDefined(input));
  const std::optional<double> number = NumberOf(input);
  if (!number) return InvalidArgument("round needs a number, not '" + TypeName(input) + "'");
  if (precision < -18 || precision > 18)
    return InvalidArgument("the precision of round must be from -18 to 18");
  if (method == "common") return RoundCommon(input, *number, precision);
  if (method != "ceil" && method != "floor") {
    return InvalidArgument("the method of round must be common, ceil or floor");
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  return Value((method == "ceil" ? std::ceil(*number * scale) : std::floor(*number * scale)) / scale);
}

constexpr NamedFunction<FilterFunction> kNumberFilters[] = {
    {"int", Int},
    {"float", Float},
    {"abs", Abs},
    {"round", Round},
};

}  // namespace

FilterFunction FindNumberFilter(std::string_view name) {
  return FindByName(kNumberFilters, name);
}

}  // namespace reprise::chat_template
