#include "models/chat_template/formatting.h"

#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/utf8.h"
#include "models/chat_template/operators.h"
#include "models/chat_template/unicode.h"

namespace reprise::chat_template {
namespace {

Status Append(Runtime& runtime, std::string_view text, std::string* out) {
  RETURN_IF_ERROR(runtime.budget().Produce(text.size()));
  out->append(text);
  return OkStatus();
}

Status AppendItems(Runtime& runtime, const List& items, std::string_view open, std::string_view close,
                   std::string* out) {
  RETURN_IF_ERROR(Append(runtime, open, out));
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) RETURN_IF_ERROR(Append(runtime, ", ", out));
    RETURN_IF_ERROR(AppendRepr(runtime, items[i], out));
  }
  return Append(runtime, close, out);
}

Status AppendRange(Runtime& runtime, const List& items, std::string* out) {
  if (items.empty()) return Append(runtime, "range(0, 0)", out);
  const std::int64_t first = *items.front().AsInt();
  const std::int64_t step = items.size() > 1 ? *items[1].AsInt() - first : 1;
  std::string text = "range(" + std::to_string(first) + ", " + std::to_string(*items.back().AsInt() + step);
  if (step != 1) text += ", " + std::to_string(step);
  return Append(runtime, text + ")", out);
}

Status AppendSequence(Runtime& runtime, const Sequence& sequence, std::string* out) {
  switch (sequence.kind) {
    case SequenceKind::kList:
      return AppendItems(runtime, sequence.items, "[", "]", out);
    case SequenceKind::kTuple:
      return AppendItems(runtime, sequence.items, "(", sequence.items.size() == 1 ? ",)" : ")", out);
    case SequenceKind::kRange:
      return AppendRange(runtime, sequence.items, out);
    case SequenceKind::kGenerator:
      return Append(runtime, "<generator object>", out);
    case SequenceKind::kDictKeys:
      return AppendItems(runtime, sequence.items, "dict_keys([", "])", out);
    case SequenceKind::kDictValues:
      return AppendItems(runtime, sequence.items, "dict_values([", "])", out);
    case SequenceKind::kDictItems:
      return AppendItems(runtime, sequence.items, "dict_items([", "])", out);
  }
  return Internal("an unknown kind of sequence");
}

Status AppendMapping(Runtime& runtime, const Mapping& mapping, std::string* out) {
  RETURN_IF_ERROR(Append(runtime, "{", out));
  for (std::size_t i = 0; i < mapping.items.size(); ++i) {
    if (i > 0) RETURN_IF_ERROR(Append(runtime, ", ", out));
    RETURN_IF_ERROR(AppendRepr(runtime, mapping.items[i].first, out));
    RETURN_IF_ERROR(Append(runtime, ": ", out));
    RETURN_IF_ERROR(AppendRepr(runtime, mapping.items[i].second, out));
  }
  return Append(runtime, "}", out);
}

void AppendHexEscape(char32_t c, std::string* out) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer,
                c < 0x100     ? "\\x%02x"
                : c < 0x10000 ? "\\u%04x"
                              : "\\U%08x",
                static_cast<unsigned>(c));
  *out += buffer;
}

}  // namespace

Status AppendText(Runtime& runtime, const Value& value, std::string* out) {
  if (const std::string* text = value.AsString()) return Append(runtime, *text, out);
  if (value.AsUndefined() != nullptr) return OkStatus();
  return AppendRepr(runtime, value, out);
}

// Recursion is as deep as the value, which the runtime has bounded.
Status AppendRepr(Runtime& runtime, const Value& value, std::string* out) {
  RETURN_IF_ERROR(runtime.budget().Step());
  if (value.IsNone()) return Append(runtime, "None", out);
  if (const bool* v = value.AsBool()) return Append(runtime, *v ? "True" : "False", out);
  if (const std::int64_t* v = value.AsInt()) return Append(runtime, std::to_string(*v), out);
  if (const double* v = value.AsFloat()) return Append(runtime, FormatFloat(*v), out);
  if (const std::string* v = value.AsString()) {
    RETURN_IF_ERROR(runtime.budget().Produce(v->size()));
    return Append(runtime, value.IsMarkup() ? "Markup(" + QuoteText(*v) + ")" : QuoteText(*v), out);
  }
  if (const Sequence* v = value.AsSequence()) return AppendSequence(runtime, *v, out);
  if (const Mapping* v = value.AsMapping()) return AppendMapping(runtime, *v, out);
  if (value.AsUndefined() != nullptr) return Append(runtime, "Undefined", out);
  return Append(runtime, "<" + value.AsObject()->Describe() + ">", out);
}

Result<Value> ToText(Runtime& runtime, const Value& value) {
  if (value.AsString() != nullptr) return value;
  std::string text;
  RETURN_IF_ERROR(AppendText(runtime, value, &text));
  return Value(std::move(text));
}

std::string FormatFloat(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  std::string out;
  if (text.front() == '-') {
    out = "-";
    text.remove_prefix(1);
  }
  const std::size_t e = text.find('e');
  std::string digits(1, text[0]);
  if (e > 2) digits += text.substr(2, e - 2);
  int exponent = 0;
  const std::size_t sign = text[e + 1] == '+' ? 1 : 0;
  std::from_chars(text.data() + e + 1 + sign, text.data() + text.size(), exponent);
  if (exponent < -4 || exponent >= 16) {
    out += digits.substr(0, 1);
    if (digits.size() > 1) out += "." + digits.substr(1);
    snprintf(buffer, sizeof buffer, "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    return out + buffer;
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  const std::size_t whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string QuoteText(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t begin = offset;
    const char32_t c = DecodeUtf8(text, &offset);
    if (c == U'\n') {
      out += "\\n";
    } else if (c == U'\r') {
      out += "\\r";
    } else if (c == U'\t') {
      out += "\\t";
    } else if (c == U'\\' || c == static_cast<char32_t>(quote)) {
      out += '\\';
      out += static_cast<char>(c);
    } else if (!IsPrintable(c)) {
      AppendHexEscape(c, &out);
    } else {
      out += text.substr(begin, offset - begin);
    }
  }
  return out + quote;
}

}  // namespace reprise::chat_template
