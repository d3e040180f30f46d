// Filters that make text. They first turn what they are applied to into text, as Jinja does.
#include <algorithm>
#include <string>

#include "base/utf8.h"
#include "models/chat_template/arguments.h"
#include "models/chat_template/attributes.h"
#include "models/chat_template/formatting.h"
#include "models/chat_template/function_tables.h"
#include "models/chat_template/operators.h"
#include "models/chat_template/runtime.h"
#include "models/chat_template/string_format.h"
#include "models/chat_template/text.h"
#include "models/chat_template/unicode.h"

namespace reprise::chat_template {
namespace {

// Calls the method of str of that name.
Result<Value> CallMethod(Runtime& runtime, std::string_view name, const Value& input,
                         const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const Value text, ToText(runtime, input));
  return FindStringMethod(name)(runtime, text, arguments);
}

Result<Value> Upper(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  return CallMethod(runtime, "upper", input, arguments);
}
Result<Value> Lower(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  return CallMethod(runtime, "lower", input, arguments);
}
Result<Value> CapitalizeFilter(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  return CallMethod(runtime, "capitalize", input, arguments);
}
Result<Value> Trim(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  return CallMethod(runtime, "strip", input, arguments);
}

// Unlike str.title, a word begins only after white space, a hyphen or an opening bracket.
Result<Value> Title(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("title", {}, 0, arguments).status());
  ASSIGN_OR_RETURN(const Value text, ToText(runtime, input));
  ASSIGN_OR_RETURN(const Value lowered, FindStringMethod("lower")(runtime, text, {}));
  std::string out;
  bool begins_word = true;
  const std::string& lower = *lowered.AsString();
  for (std::size_t offset = 0; offset < lower.size();) {
    const char32_t c = DecodeUtf8(lower, &offset);
    const bool separates = IsSpace(c) || c == U'-' || c == U'(' || c == U'{' || c == U'[' || c == U'<';
    if (begins_word) {
      AppendUpper(c, &out);
    } else {
      AppendUtf8(c, &out);
    }
    begins_word = separates;
  }
  return runtime.MakeText(std::move(out));
}

Result<Value> ReplaceFilter(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("replace", {"old", "new", "count"}, 2, arguments));
  CallArguments texts;
  for (std::size_t i = 0; i < 2; ++i) {
    ASSIGN_OR_RETURN(Value text, ToText(runtime, *bound[i]));
    texts.positional.push_back(std::move(text));
  }
  if (bound[2] != nullptr) texts.positional.push_back(*bound[2]);
  // Of plain text: the result is no markup even when the input is.
  ASSIGN_OR_RETURN(const Value text, ToText(runtime, input));
  return FindStringMethod("replace")(runtime, text.IsMarkup() ? Value(*text.AsString()) : text, texts);
}

Result<Value> String(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("string", {}, 0, arguments).status());
  return ToText(runtime, input);
}

Result<Value> Safe(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("safe", {}, 0, arguments).status());
  ASSIGN_OR_RETURN(const Value text, ToText(runtime, input));
  RETURN_IF_ERROR(runtime.budget().Produce(text.AsString()->size()));
  return Value(Markup{*text.AsString()});
}

Result<Value> Escape(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("escape", {}, 0, arguments).status());
  return EscapeText(runtime, input);
}

// Even what is markup already.
Result<Value> ForceEscape(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const Value text, ToText(runtime, input));
  return Escape(runtime, Value(*text.AsString()), arguments);
}

Result<Value> Center(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("center", {"width"}, 0, arguments));
  ASSIGN_OR_RETURN(const std::int64_t width, bound.Integer(0, 80));
  return CallMethod(runtime, "center", input, CallArguments{{width}, {}});
}

Result<Value> Format(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  if (!arguments.positional.empty() && !arguments.keyword.empty()) {
    return InvalidArgument("format takes positional or keyword arguments, not both");
  }
  ASSIGN_OR_RETURN(const Value text, ToText(runtime, input));
  if (arguments.keyword.empty()) {
    return FormatPercent(runtime, text, Value(SequenceKind::kTuple, arguments.positional));
  }
  return FormatPercent(runtime, text, Value(Dict(arguments.keyword)));
}

Result<std::string> Spaces(Runtime& runtime, std::int64_t count) {
  const std::size_t size = count < 0 ? 0 : static_cast<std::size_t>(count);
  RETURN_IF_ERROR(runtime.budget().Produce(size));
  return std::string(size, ' ');
}

Result<Value> Indent(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("indent", {"width", "first", "blank"}, 0, arguments));
  RETURN_IF_ERROR(CheckDefined(input));
  if (input.AsString() == nullptr)
    return InvalidArgument("indent needs a string, not '" + TypeName(input) + "'");
  std::string margin;
  if (bound[0] != nullptr && bound[0]->AsString() != nullptr) {
    margin = *bound[0]->AsString();
  } else {
    ASSIGN_OR_RETURN(const std::int64_t width, bound.Integer(0, 4));
    ASSIGN_OR_RETURN(margin, Spaces(runtime, width));
  }
  const bool indents_blank = bound.Flag(2, false);
  RETURN_IF_ERROR(runtime.budget().Produce(input.AsString()->size() + 1));
  const std::string text = *input.AsString() + "\n";
  std::string out = bound.Flag(1, false) ? margin : "";
  bool is_first = true;
  for (std::string_view line : SplitLines(text, /*keep_ends=*/false)) {
    RETURN_IF_ERROR(runtime.budget().Produce(line.size() + margin.size() + 1));
    if (!is_first) {
      out += '\n';
      if (!line.empty() || indents_blank) out += margin;
    }
    out += line;
    is_first = false;
  }
  return LikeText(input, std::move(out));
}

Result<Value> Truncate(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("truncate", {"length", "killwords", "end", "leeway"}, 0, arguments));
  ASSIGN_OR_RETURN(const std::int64_t length, bound.Integer(0, 255));
  ASSIGN_OR_RETURN(const std::string_view end, bound.Text(2, "..."));
  ASSIGN_OR_RETURN(const std::int64_t leeway, bound.Integer(3, 5));
  ASSIGN_OR_RETURN(const Value value, ToText(runtime, input));
  const std::string_view text = *value.AsString();
  RETURN_IF_ERROR(runtime.budget().Scan(text.size() * 4));
  const CharacterIndex characters(text);
  const auto end_size = static_cast<std::int64_t>(CountCharacters(end));
  if (length < end_size || leeway < 0)
    return InvalidArgument("truncate needs a length of at least its end's");
  if (static_cast<std::int64_t>(characters.size()) - leeway <= length) return value;
  std::string_view kept = text.substr(0, characters.Offset(static_cast<std::size_t>(length - end_size)));
  if (!bound.Flag(1, false)) kept = kept.substr(0, kept.rfind(' '));
  return runtime.MakeText(std::string(kept) + std::string(end));
}

Result<Value> WordCount(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("wordcount", {}, 0, arguments).status());
  ASSIGN_OR_RETURN(const Value value, ToText(runtime, input));
  const std::string& text = *value.AsString();
  RETURN_IF_ERROR(runtime.budget().Scan(text.size() * 16));
  std::int64_t words = 0;
  bool in_word = false;
  for (std::size_t offset = 0; offset < text.size();) {
    const char32_t c = DecodeUtf8(text, &offset);
    const bool belongs = c == U'_' || IsAlphabetic(c) || IsNumeric(c);
    words += belongs && !in_word ? 1 : 0;
    in_word = belongs;
  }
  return Value(words);
}

Result<Value> Join(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("join", {"d", "attribute"}, 0, arguments));
  ASSIGN_OR_RETURN(const Value separator, ToText(runtime, bound[0] == nullptr ? Value("") : *bound[0]));
  const Value* attribute = bound[1] == nullptr || bound[1]->IsNone() ? nullptr : bound[1];
  ASSIGN_OR_RETURN(const std::shared_ptr<const Sequence> items, Items(runtime, input));
  std::string joined;
  for (std::size_t i = 0; i < items->items.size(); ++i) {
    RETURN_IF_ERROR(runtime.budget().Step());
    if (i > 0) RETURN_IF_ERROR(AppendText(runtime, separator, &joined));
    Value item = items->items[i];
    if (attribute != nullptr) {
      ASSIGN_OR_RETURN(item, GetPath(runtime, item, *attribute));
    }
    RETURN_IF_ERROR(AppendText(runtime, item, &joined));
  }
  return Value(std::move(joined));
}

Result<Value> ToJsonFilter(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(
      const BoundArguments bound,
      BoundArguments::Bind("tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, 0, arguments));
  RETURN_IF_ERROR(CheckDefined(input));
  JsonStyle style;
  style.ensure_ascii = bound.Flag(0, false);
  style.sort_keys = bound.Flag(3, false);
  if (bound[1] != nullptr && !bound[1]->IsNone()) {
    style.is_indented = true;
    style.item_separator = ",";
    if (const std::string* indent = bound[1]->AsString()) {
      style.indent = *indent;
    } else {
      ASSIGN_OR_RETURN(const std::int64_t width, bound.Integer(1, 0));
      ASSIGN_OR_RETURN(style.indent, Spaces(runtime, width));
    }
  }
  if (bound[2] != nullptr && !bound[2]->IsNone()) {
    const Sequence* separators = bound[2]->AsSequence();
    if (separators == nullptr || separators->items.size() != 2 ||
        separators->items[0].AsString() == nullptr || separators->items[1].AsString() == nullptr) {
      return InvalidArgument("the separators of tojson must be two strings");
    }
    style.item_separator = *separators->items[0].AsString();
    style.key_separator = *separators->items[1].AsString();
  }
  ASSIGN_OR_RETURN(std::string json, ToJson(runtime, input, style));
  return Value(std::move(json));
}

constexpr NamedFunction<FilterFunction> kTextFilters[] = {
    {"upper", Upper},
    {"lower", Lower},
    {"title", Title},
    {"capitalize", CapitalizeFilter},
    {"trim", Trim},
    {"replace", ReplaceFilter},
    {"string", String},
    {"safe", Safe},
    {"e", Escape},
    {"escape", Escape},
    {"forceescape", ForceEscape},
    {"center", Center},
    {"format", Format},
    {"indent", Indent},
    {"truncate", Truncate},
    {"wordcount", WordCount},
    {"join", Join},
    {"tojson", ToJsonFilter},
};

}  // namespace

FilterFunction FindTextFilter(std::string_view name) {
  return FindByName(kTextFilters, name);
}

}  // namespace reprise::chat_template
