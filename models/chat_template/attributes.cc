#include "models/chat_template/attributes.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "models/chat_template/formatting.h"
#include "models/chat_template/operators.h"
#include "models/chat_template/text.h"

namespace reprise::chat_template {
namespace {

// A path may have a part for every other byte, and each part is a lookup.
constexpr std::size_t kSplitCost = 64;

// A method and what it was looked up on.
class BoundMethod : public Object {
 public:
  BoundMethod(Runtime& runtime, Value self, MethodFunction method, std::string name)
      : runtime_(runtime), self_(std::move(self)), method_(method), name_(std::move(name)) {}

  std::string Describe() const override { return "built-in method " + name_; }
  bool IsCallable() const override { return true; }
  Result<Value> Call(const CallArguments& arguments) override { return method_(runtime_, self_, arguments); }

 private:
  Runtime& runtime_;
  const Value self_;
  const MethodFunction method_;
  const std::string name_;
};

std::string DescribeType(const Value& value) {
  return value.IsNone() ? "None" : TypeName(value) + " object";
}

// Python attributes that templates may not touch, or that have no counterpart here: never mistaken for an
// element.
std::string ReasonNotToAccess(const Value& value, std::string_view name) {
  static constexpr std::string_view kListChanges[] = {"append", "clear",  "extend",  "insert",
                                                      "pop",    "remove", "reverse", "sort"};
  static constexpr std::string_view kDictChanges[] = {"clear", "pop", "popitem", "setdefault", "update"};
  const auto is_one_of = [name](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  const Sequence* sequence = value.AsSequence();
  const bool changes =
      (sequence != nullptr && sequence->kind == SequenceKind::kList && is_one_of(kListChanges)) ||
      (value.AsMapping() != nullptr && is_one_of(kDictChanges));
  if (!changes && !name.starts_with("__")) return "";
  return "access to attribute '" + std::string(name) + "' of '" + TypeName(value) + "' object is unsafe";
}

Result<std::optional<Value>> FindAttribute(Runtime& runtime, const Value& value, std::string_view name) {
  if (Object* object = value.AsObject()) return object->Attribute(name);
  if (const MethodFunction method = FindMethod(value, name)) {
    ASSIGN_OR_RETURN(BoundMethod * bound,
                     runtime.MakeObject<BoundMethod>(runtime, value, method, std::string(name)));
    return std::optional<Value>(bound);
  }
  if (std::string reason = ReasonNotToAccess(value, name); !reason.empty()) {
    return std::optional<Value>(MakeUndefined(std::move(reason)));
  }
  return std::optional<Value>();
}

Result<std::optional<Value>> FindElement(Runtime& runtime, const Value& value, const Value& index) {
  if (const Mapping* mapping = value.AsMapping()) {
    const Result<const Value*> found = FindKey(runtime, mapping->items, index);
    if (!found.ok() && found.status().code() != StatusCode::kInvalidArgument) return found.status();
    return found.ok() && *found != nullptr ? **found : std::optional<Value>();
  }
  const std::optional<std::int64_t> position = IntegerOf(index);
  if (!position) return std::optional<Value>();
  const auto resolve = [&](std::size_t size) -> std::optional<std::size_t> {
    const auto signed_size = static_cast<std::int64_t>(size);
    const std::int64_t from_start = *position < 0 ? *position + signed_size : *position;
    if (from_start < 0 || from_start >= signed_size) return std::nullopt;
    return static_cast<std::size_t>(from_start);
  };
  if (const Sequence* sequence = value.AsSequence()) {
    const bool is_indexable = sequence->kind == SequenceKind::kList ||
                              sequence->kind == SequenceKind::kTuple ||
                              sequence->kind == SequenceKind::kRange;
    const std::optional<std::size_t> at = is_indexable ? resolve(sequence->items.size()) : std::nullopt;
    return at ? sequence->items[*at] : std::optional<Value>();
  }
  if (const std::string* text = value.AsString()) {
    RETURN_IF_ERROR(runtime.budget().Scan(text->size() * 4));
    const CharacterIndex characters(*text);
    const std::optional<std::size_t> at = resolve(characters.size());
    return at ? LikeText(value, std::string(characters.At(*at))) : std::optional<Value>();
  }
  return std::optional<Value>();
}

Value MissingElement(const Value& value, const Value& index) {
  if (const std::string* name = index.AsString()) {
    return MakeUndefined("'" + DescribeType(value) + "' has no attribute " + QuoteText(name->substr(0, 100)));
  }
  const std::optional<std::int64_t> position = IntegerOf(index);
  return MakeUndefined(DescribeType(value) + " has no element " +
                       (position ? std::to_string(*position) : "of type '" + TypeName(index) + "'"));
}

// Where the key is among the entries; their number when it is not.
Result<std::size_t> KeyPosition(Runtime& runtime, const Entries& entries, const Value& key) {
  const Sequence* sequence = key.AsSequence();
  if (key.AsMapping() != nullptr || (sequence != nullptr && sequence->kind == SequenceKind::kList)) {
    return InvalidArgument("a '" + TypeName(key) + "' cannot be the key of a dict");
  }
  RETURN_IF_ERROR(runtime.budget().Step(entries.size() / 8));
  const std::string* name = key.AsString();
  if (name != nullptr) RETURN_IF_ERROR(runtime.budget().Scan(name->size()));
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Value& candidate = entries[i].first;
    if (name != nullptr) {
      if (candidate.AsString() != nullptr && *candidate.AsString() == *name) return i;
      continue;
    }
    ASSIGN_OR_RETURN(const bool equal, Equal(runtime, candidate, key));
    if (equal) return i;
  }
  return entries.size();
}

// The positions a slice takes from `size` elements: first, count and step.
struct SliceRange {
  std::int64_t first = 0, count = 0, step = 1;
};

Result<SliceRange> ResolveSlice(std::int64_t size, const Value& start, const Value& stop, const Value& step) {
  for (const Value* bound : {&start, &stop, &step}) {
    RETURN_IF_ERROR(CheckDefined(*bound));
    if (!bound->IsNone() && !IntegerOf(*bound))
      return InvalidArgument("the bounds of a slice must be integers");
  }
  SliceRange range;
  // A step beyond the size takes one element, like one of that size: clamped so that nothing overflows.
  range.step = step.IsNone() ? 1 : std::clamp(*IntegerOf(step), -size - 1, size + 1);
  if (range.step == 0) return InvalidArgument("the step of a slice may not be zero");
  const bool forward = range.step > 0;
  const std::int64_t lowest = forward ? 0 : -1;
  const std::int64_t highest = forward ? size : size - 1;
  const auto clamp = [&](const Value& bound, std::int64_t missing) {
    if (bound.IsNone()) return missing;
    const std::int64_t position = *IntegerOf(bound);
    return std::clamp(position < 0 ? position + size : position, lowest, highest);
  };
  range.first = clamp(start, forward ? lowest : highest);
  const std::int64_t end = clamp(stop, forward ? highest : lowest);
  const std::int64_t distance = forward ? end - range.first : range.first - end;
  const std::int64_t stride = forward ? range.step : -range.step;
  range.count = distance <= 0 ? 0 : (distance + stride - 1) / stride;
  return range;
}

}  // namespace

const Value* FindKey(const Dict& dict, std::string_view name) {
  for (const auto& [candidate, value] : dict) {
    if (candidate == name) return &value;
  }
  return nullptr;
}

const Value* FindKey(const Entries& entries, std::string_view name) {
  for (const auto& [candidate, value] : entries) {
    if (candidate.AsString() != nullptr && *candidate.AsString() == name) return &value;
  }
  return nullptr;
}

Result<const Value*> FindKey(Runtime& runtime, const Entries& entries, const Value& key) {
  ASSIGN_OR_RETURN(const std::size_t position, KeyPosition(runtime, entries, key));
  return position == entries.size() ? nullptr : &entries[position].second;
}

Status SetKey(Runtime& runtime, Entries* entries, const Value& key, Value value) {
  ASSIGN_OR_RETURN(const std::size_t position, KeyPosition(runtime, *entries, key));
  if (position == entries->size()) {
    entries->emplace_back(key, std::move(value));
  } else {
    (*entries)[position].second = std::move(value);
  }
  return OkStatus();
}

Value MakeUndefined(std::string reason) {
  return Value(Undefined{std::make_shared<const std::string>(std::move(reason))});
}

Result<Value> GetAttribute(Runtime& runtime, const Value& value, std::string_view name) {
  RETURN_IF_ERROR(CheckDefined(value));
  ASSIGN_OR_RETURN(const std::optional<Value> attribute, FindAttribute(runtime, value, name));
  if (attribute) return *attribute;
  const Value index{std::string(name)};
  ASSIGN_OR_RETURN(const std::optional<Value> element, FindElement(runtime, value, index));
  return element ? *element : MissingElement(value, index);
}

Result<Value> GetElement(Runtime& runtime, const Value& value, const Value& index) {
  RETURN_IF_ERROR(CheckDefined(value));
  ASSIGN_OR_RETURN(const std::optional<Value> element, FindElement(runtime, value, index));
  if (element) return *element;
  if (const std::string* name = index.AsString()) {
    ASSIGN_OR_RETURN(const std::optional<Value> attribute, FindAttribute(runtime, value, *name));
    if (attribute) return *attribute;
  }
  return MissingElement(value, index);
}

Result<Value> GetSlice(Runtime& runtime, const Value& value, const Value& start, const Value& stop,
                       const Value& step) {
  RETURN_IF_ERROR(CheckDefined(value));
  if (const std::string* text = value.AsString()) {
    RETURN_IF_ERROR(runtime.budget().Scan(text->size() * 4));
    const CharacterIndex characters(*text);
    ASSIGN_OR_RETURN(const SliceRange range,
                     ResolveSlice(static_cast<std::int64_t>(characters.size()), start, stop, step));
    std::string part;
    for (std::int64_t i = 0; i < range.count; ++i) {
      part += characters.At(static_cast<std::size_t>(range.first + i * range.step));
    }
    RETURN_IF_ERROR(runtime.budget().Produce(part.size()));
    return LikeText(value, std::move(part));
  }
  const Sequence* sequence = value.AsSequence();
  if (sequence == nullptr || sequence->kind > SequenceKind::kRange) {
    return InvalidArgument("'" + TypeName(value) + "' cannot be sliced");
  }
  ASSIGN_OR_RETURN(const SliceRange range,
                   ResolveSlice(static_cast<std::int64_t>(sequence->items.size()), start, stop, step));
  RETURN_IF_ERROR(runtime.budget().Step(static_cast<std::size_t>(range.count)));
  List items;
  for (std::int64_t i = 0; i < range.count; ++i) {
    items.push_back(sequence->items[static_cast<std::size_t>(range.first + i * range.step)]);
  }
  return Value(sequence->kind, std::move(items));
}

Result<Value> GetPath(Runtime& runtime, const Value& value, const Value& path, const Value& fallback) {
  const auto get = [&](const Value& object, const Value& part) -> Result<Value> {
    ASSIGN_OR_RETURN(const Value found, GetElement(runtime, object, part));
    return found.AsUndefined() != nullptr && !fallback.IsNone() ? fallback : found;
  };
  const std::string* text = path.AsString();
  if (text == nullptr) return get(value, path);
  RETURN_IF_ERROR(runtime.budget().Scan(text->size() * kSplitCost));
  Value current = value;
  for (std::string_view part : SplitOn(*text, ".", -1, Side::kLeft)) {
    std::int64_t position = 0;
    const auto parsed = std::from_chars(part.data(), part.data() + part.size(), position);
    const bool is_position =
        parsed.ec == std::errc() && parsed.ptr == part.data() + part.size() && part[0] != '-';
    ASSIGN_OR_RETURN(current, get(current, is_position ? Value(position) : Value(std::string(part))));
  }
  return current;
}

}  // namespace reprise::chat_template
