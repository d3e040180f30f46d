// The methods of str.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "models/chat_template/arguments.h"
#include "models/chat_template/formatting.h"
#include "models/chat_template/function_tables.h"
#include "models/chat_template/operators.h"
#include "models/chat_template/runtime.h"
#include "models/chat_template/string_format.h"
#include "models/chat_template/text.h"
#include "models/chat_template/unicode.h"

namespace reprise::chat_template {
namespace {

// --- Stripping and splitting ---

template <Side side>
Result<Value> Strip(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("strip", {"chars"}, 0, arguments));
  const bool strips_space = bound[0] == nullptr || bound[0]->IsNone();
  ASSIGN_OR_RETURN(const std::string_view characters, bound.Text(0, ""));
  RETURN_IF_ERROR(runtime.budget().Scan(self.AsString()->size() * (1 + characters.size())));
  return runtime.MakeText(strips_space ? StripSpace(*self.AsString(), side)
                                       : StripCharacters(*self.AsString(), characters, side));
}

Result<Value> MakeTexts(Runtime& runtime, SequenceKind kind, const std::vector<std::string_view>& parts) {
  List items;
  RETURN_IF_ERROR(runtime.budget().Step(parts.size()));
  for (std::string_view part : parts) {
    ASSIGN_OR_RETURN(Value text, runtime.MakeText(part));
    items.push_back(std::move(text));
  }
  return runtime.MakeSequence(kind, std::move(items));
}

template <Side from>
Result<Value> Split(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("split", {"sep", "maxsplit"}, 0, arguments));
  ASSIGN_OR_RETURN(const std::int64_t limit, bound.Integer(1, -1));
  const std::string& text = *self.AsString();
  RETURN_IF_ERROR(runtime.budget().Scan(text.size() * 8));
  if (bound[0] == nullptr || bound[0]->IsNone()) {
    return MakeTexts(runtime, SequenceKind::kList, SplitSpace(text, limit, from));
  }
  ASSIGN_OR_RETURN(const std::string_view separator, bound.Text(0, ""));
  if (separator.empty()) return InvalidArgument("split needs a separator that is not empty");
  return MakeTexts(runtime, SequenceKind::kList, SplitOn(text, separator, limit, from));
}

Result<Value> SplitLinesMethod(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("splitlines", {"keepends"}, 0, arguments));
  RETURN_IF_ERROR(runtime.budget().Scan(self.AsString()->size() * 8));
  return MakeTexts(runtime, SequenceKind::kList, SplitLines(*self.AsString(), bound.Flag(0, false)));
}

template <Side from>
Result<Value> Partition(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("partition", {"sep"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::string_view separator, bound.Text(0, ""));
  if (separator.empty()) return InvalidArgument("partition needs a separator that is not empty");
  const std::string_view text = *self.AsString();
  RETURN_IF_ERROR(runtime.budget().Scan(text.size()));
  const std::size_t at = from == Side::kLeft ? FindFirst(text, separator) : FindLast(text, separator);
  std::vector<std::string_view> parts = {
      text.substr(0, at), separator, at == std::string_view::npos ? "" : text.substr(at + separator.size())};
  if (at == std::string_view::npos && from == Side::kLeft) parts = {text, "", ""};
  if (at == std::string_view::npos && from == Side::kRight) parts = {"", "", text};
  return MakeTexts(runtime, SequenceKind::kTuple, parts);
}

// --- Searching ---

// The part of the text that [start:end] names, and how many characters precede it; nothing when start lies
// beyond it.
struct Window {
  std::string_view text;
  std::int64_t first = 0;
};

Result<std::optional<Window>> WindowOf(Runtime& runtime, std::string_view text, const BoundArguments& bound) {
  RETURN_IF_ERROR(runtime.budget().Scan(text.size()));
  if (bound[1] == nullptr && bound[2] == nullptr) return std::optional<Window>(Window{text, 0});
  RETURN_IF_ERROR(runtime.budget().Scan(text.size() * 4));
  const CharacterIndex characters(text);
  const auto size = static_cast<std::int64_t>(characters.size());
  ASSIGN_OR_RETURN(std::int64_t start, bound.Integer(1, 0));
  ASSIGN_OR_RETURN(std::int64_t end, bound.Integer(2, size));
  if (start < 0) start = std::max<std::int64_t>(0, start + size);
  if (end < 0) end = std::max<std::int64_t>(0, end + size);
  end = std::min(end, size);
  if (start > end) return std::optional<Window>();
  const std::size_t begin = characters.Offset(static_cast<std::size_t>(start));
  return std::optional<Window>(
      Window{text.substr(begin, characters.Offset(static_cast<std::size_t>(end)) - begin), start});
}

template <Side from, bool must_exist>
Result<Value> Find(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("find", {"sub", "start", "end"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::string_view part, bound.Text(0, ""));
  ASSIGN_OR_RETURN(const std::optional<Window> window, WindowOf(runtime, *self.AsString(), bound));
  if (window) {
    const std::size_t at = from == Side::kLeft ? FindFirst(window->text, part) : FindLast(window->text, part);
    if (at != std::string_view::npos) {
      return Value(window->first + static_cast<std::int64_t>(CountCharacters(window->text.substr(0, at))));
    }
  }
  return must_exist ? Result<Value>(InvalidArgument("substring not found")) : Value(-1);
}

Result<Value> Count(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("count", {"sub", "start", "end"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::string_view part, bound.Text(0, ""));
  ASSIGN_OR_RETURN(const std::optional<Window> window, WindowOf(runtime, *self.AsString(), bound));
  return Value(window ? static_cast<std::int64_t>(CountOccurrences(window->text, part)) : std::int64_t{0});
}

// startswith and endswith, with one text or a tuple of them.
template <bool at_start>
Result<Value> Matches(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  const char* name = at_start ? "startswith" : "endswith";
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind(name, {"affix", "start", "end"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::optional<Window> window, WindowOf(runtime, *self.AsString(), bound));
  RETURN_IF_ERROR(CheckDefined(*bound[0]));
  const Sequence* tuple = bound[0]->AsSequence();
  const List affixes =
      tuple != nullptr && tuple->kind == SequenceKind::kTuple ? tuple->items : List{*bound[0]};
  RETURN_IF_ERROR(runtime.budget().Step(affixes.size()));
  for (const Value& affix : affixes) {
    const std::string* text = affix.AsString();
    if (text == nullptr) {
      return InvalidArgument(std::string(name) + " needs a string or a tuple of strings, not '" +
                             TypeName(affix) + "'");
    }
    if (window && (at_start ? window->text.starts_with(*text) : window->text.ends_with(*text)))
      return Value(true);
  }
  return Value(false);
}

// --- Replacing and joining ---

Result<Value> Replace(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("replace", {"old", "new", "count"}, 2, arguments));
  ASSIGN_OR_RETURN(const std::string_view from, bound.Text(0, ""));
  RETURN_IF_ERROR(bound.Text(1, "").status());
  Value replacement = *bound[1];
  if (self.IsMarkup()) {
    ASSIGN_OR_RETURN(replacement, EscapeText(runtime, replacement));
  }
  const std::string_view to = *replacement.AsString();
  ASSIGN_OR_RETURN(const std::int64_t limit, bound.Integer(2, -1));
  const std::string& text = *self.AsString();
  RETURN_IF_ERROR(runtime.budget().Scan(text.size() * 4));
  std::size_t replaced = CountOccurrences(text, from);
  if (limit >= 0) replaced = std::min(replaced, static_cast<std::size_t>(limit));
  // What it makes is known before it is made.
  RETURN_IF_ERROR(runtime.budget().Produce(text.size()));
  if (to.size() > from.size()) {
    std::size_t growth = 0;
    if (__builtin_mul_overflow(replaced, to.size() - from.size(), &growth)) growth = SIZE_MAX;
    RETURN_IF_ERROR(runtime.budget().Produce(growth));
  }
  return Value(ReplaceAll(text, from, to, limit));
}

template <bool at_start>
Result<Value> RemoveAffix(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("removeprefix", {"affix"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::string_view affix, bound.Text(0, ""));
  std::string_view text = *self.AsString();
  if (at_start && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (!at_start && text.ends_with(affix)) text.remove_suffix(affix.size());
  return runtime.MakeText(text);
}

Result<Value> Join(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("join", {"iterable"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Sequence> items, Items(runtime, *bound[0]));
  std::string joined;
  for (std::size_t i = 0; i < items->items.size(); ++i) {
    Value text = items->items[i];
    if (self.IsMarkup()) {
      ASSIGN_OR_RETURN(text, EscapeText(runtime, text));
    }
    const std::string* item = text.AsString();
    if (item == nullptr) {
      return InvalidArgument("join needs strings, but item " + std::to_string(i) + " is '" +
                             TypeName(items->items[i]) + "'");
    }
    RETURN_IF_ERROR(runtime.budget().Step());
    RETURN_IF_ERROR(runtime.budget().Produce(item->size() + self.AsString()->size()));
    if (i > 0) joined += *self.AsString();
    joined += *item;
  }
  return Value(std::move(joined));
}

Result<Value> Format(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  return FormatBraces(runtime, *self.AsString(), arguments);
}

// --- Padding ---

// ljust, rjust and center.
template <bool pads_left, bool pads_right>
Result<Value> Justify(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("justify", {"width", "fillchar"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::int64_t width, bound.Integer(0, 0));
  ASSIGN_OR_RETURN(const std::string_view fill, bound.Text(1, " "));
  if (CountCharacters(fill) != 1) return InvalidArgument("the fill character must be exactly one character");
  const std::string& text = *self.AsString();
  const auto size = static_cast<std::int64_t>(CountCharacters(text));
  const std::size_t missing = width > size ? static_cast<std::size_t>(width - size) : 0;
  if (missing > SIZE_MAX / 8) return ResourceExhausted("the width is too large");
  RETURN_IF_ERROR(runtime.budget().Produce(text.size() + missing * fill.size()));
  // Python's center puts the odd one on the left only when the width is odd as well.
  const std::size_t odd = missing & static_cast<std::size_t>(width) & 1;
  const std::size_t left = pads_left && pads_right ? missing / 2 + odd : pads_left ? missing : 0;
  std::string out;
  for (std::size_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (std::size_t i = left; i < missing; ++i) out += fill;
  return Value(std::move(out));
}

Result<Value> ZeroFill(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("zfill", {"width"}, 1, arguments));
  std::string_view text = *self.AsString();
  std::string sign;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    sign = text[0];
    text.remove_prefix(1);
  }
  ASSIGN_OR_RETURN(const std::int64_t width, bound.Integer(0, 0));
  CallArguments padding{{width - static_cast<std::int64_t>(sign.size()), "0"}, {}};
  ASSIGN_OR_RETURN(const Value padded, (Justify<true, false>(runtime, std::string(text), padding)));
  return runtime.MakeText(sign + *padded.AsString());
}

// --- Case ---

// Case mappings look at every character in tables, and may triple the size.
constexpr std::size_t kCaseCost = 16;

template <std::string (*convert)(std::string_view)>
Result<Value> Convert(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("a case conversion", {}, 0, arguments).status());
  RETURN_IF_ERROR(runtime.budget().Scan(self.AsString()->size() * kCaseCost));
  return runtime.MakeText(convert(*self.AsString()));
}

// Whether there are characters, and every one of them passes.
template <bool (*test)(char32_t)>
Result<Value> All(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("a test of characters", {}, 0, arguments).status());
  const std::string& text = *self.AsString();
  RETURN_IF_ERROR(runtime.budget().Scan(text.size() * kCaseCost));
  for (std::size_t offset = 0; offset < text.size();) {
    if (!test(DecodeUtf8(text, &offset))) return Value(false);
  }
  return Value(!text.empty());
}

// Whether there are cased characters, and every one of them passes.
template <bool (*test)(char32_t)>
Result<Value> AllCased(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("a test of case", {}, 0, arguments).status());
  const std::string& text = *self.AsString();
  RETURN_IF_ERROR(runtime.budget().Scan(text.size() * kCaseCost));
  bool has_cased = false;
  for (std::size_t offset = 0; offset < text.size();) {
    const char32_t c = DecodeUtf8(text, &offset);
    if (!IsUpper(c) && !IsLower(c)) continue;
    if (!test(c)) return Value(false);
    has_cased = true;
  }
  return Value(has_cased);
}

bool IsAlphanumeric(char32_t c) {
  return IsAlphabetic(c) || IsNumeric(c) || IsDigit(c);
}

Result<Value> IsAsciiMethod(Runtime& runtime, const Value& self, const CallArguments&) {
  RETURN_IF_ERROR(runtime.budget().Scan(self.AsString()->size()));
  return Value(std::all_of(self.AsString()->begin(), self.AsString()->end(),
                           [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
}

// Calls the method and, for markup, marks the text it makes as markup too.
template <MethodFunction method>
Result<Value> Keep(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(Value result, method(runtime, self, arguments));
  if (!self.IsMarkup()) return result;
  if (result.AsString() != nullptr) return Value(Markup{*result.AsString()});
  List parts;
  for (const Value& part : result.AsSequence()->items) parts.emplace_back(Markup{*part.AsString()});
  return Value(result.AsSequence()->kind, std::move(parts));
}

constexpr NamedFunction<MethodFunction> kStringMethods[] = {
    {"strip", Keep<Strip<Side::kBoth>>},
    {"lstrip", Keep<Strip<Side::kLeft>>},
    {"rstrip", Keep<Strip<Side::kRight>>},
    {"split", Keep<Split<Side::kLeft>>},
    {"rsplit", Keep<Split<Side::kRight>>},
    {"splitlines", Keep<SplitLinesMethod>},
    {"partition", Keep<Partition<Side::kLeft>>},
    {"rpartition", Keep<Partition<Side::kRight>>},
    {"startswith", Matches<true>},
    {"endswith", Matches<false>},
    {"find", Find<Side::kLeft, false>},
    {"rfind", Find<Side::kRight, false>},
    {"index", Find<Side::kLeft, true>},
    {"rindex", Find<Side::kRight, true>},
    {"count", Count},
    {"replace", Keep<Replace>},
    {"removeprefix", Keep<RemoveAffix<true>>},
    {"removesuffix", Keep<RemoveAffix<false>>},
    {"join", Keep<Join>},
    {"format", Format},
    {"ljust", Keep<Justify<false, true>>},
    {"rjust", Keep<Justify<true, false>>},
    {"center", Keep<Justify<true, true>>},
    {"zfill", Keep<ZeroFill>},
    {"upper", Keep<Convert<ToUpper>>},
    {"lower", Keep<Convert<ToLower>>},
    {"casefold", Keep<Convert<ToLower>>},
    {"title", Keep<Convert<ToTitle>>},
    {"capitalize", Keep<Convert<Capitalize>>},
    {"swapcase", Keep<Convert<SwapCase>>},
    {"isspace", All<IsSpace>},
    {"isalpha", All<IsAlphabetic>},
    {"isdigit", All<IsDigit>},
    {"isnumeric", All<IsNumeric>},
    {"isalnum", All<IsAlphanumeric>},
    {"isprintable", All<IsPrintable>},
    {"isupper", AllCased<IsUpper>},
    {"islower", AllCased<IsLower>},
    {"isascii", IsAsciiMethod},
};

}  // namespace

MethodFunction FindStringMethod(std::string_view name) {
  return FindByName(kStringMethods, name);
}

}  // namespace reprise::chat_template
