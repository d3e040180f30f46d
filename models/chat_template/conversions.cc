// Types, truth, numbers and items of values.
#include <utility>

#include "models/chat_template/formatting.h"
#include "models/chat_template/operators.h"
#include "models/chat_template/text.h"

namespace reprise::chat_template {
namespace {

Result<std::shared_ptr<const Sequence>> Characters(Runtime& runtime, std::string_view text) {
  RETURN_IF_ERROR(runtime.budget().Step(text.size()));
  const CharacterIndex index(text);
  auto sequence = std::make_shared<Sequence>();
  sequence->items.reserve(index.size());
  for (std::size_t i = 0; i < index.size(); ++i) sequence->items.emplace_back(std::string(index.At(i)));
  return std::shared_ptr<const Sequence>(std::move(sequence));
}

}  // namespace

std::string TypeName(const Value& value) {
  if (value.IsNone()) return "NoneType";
  if (value.AsBool() != nullptr) return "bool";
  if (value.AsInt() != nullptr) return "int";
  if (value.AsFloat() != nullptr) return "float";
  if (value.AsString() != nullptr) return "str";
  if (value.AsMapping() != nullptr) return "dict";
  if (value.AsUndefined() != nullptr) return "Undefined";
  if (const Sequence* sequence = value.AsSequence()) {
    static constexpr const char* kNames[] = {"list",      "tuple",       "range",     "generator",
                                             "dict_keys", "dict_values", "dict_items"};
    return kNames[static_cast<std::size_t>(sequence->kind)];
  }
  return value.AsObject()->Describe();
}

Status CheckDefined(const Value& value) {
  const Undefined* undefined = value.AsUndefined();
  return undefined == nullptr ? OkStatus() : InvalidArgument(*undefined->reason);
}

Value LikeText(const Value& original, std::string text) {
  return original.IsMarkup() ? Value(Markup{std::move(text)}) : Value(std::move(text));
}

Result<Value> EscapeText(Runtime& runtime, const Value& value) {
  if (value.IsMarkup()) return value;
  static constexpr std::string_view kSpecial = "&<>'\"";
  static constexpr std::string_view kEntities[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
  ASSIGN_OR_RETURN(const Value text, ToText(runtime, value));
  RETURN_IF_ERROR(runtime.budget().Produce(text.AsString()->size() * 5));
  std::string escaped;
  for (char c : *text.AsString()) {
    const std::size_t special = kSpecial.find(c);
    if (special == std::string_view::npos) {
      escaped += c;
    } else {
      escaped += kEntities[special];
    }
  }
  return Value(Markup{std::move(escaped)});
}

bool IsList(const Value& value) {
  return value.AsSequence() != nullptr && value.AsSequence()->kind == SequenceKind::kList;
}

bool IsTuple(const Value& value) {
  return value.AsSequence() != nullptr && value.AsSequence()->kind == SequenceKind::kTuple;
}

bool IsTrue(const Value& value) {
  if (const bool* v = value.AsBool()) return *v;
  if (const std::int64_t* v = value.AsInt()) return *v != 0;
  if (const double* v = value.AsFloat()) return *v != 0;
  if (const std::string* v = value.AsString()) return !v->empty();
  if (const Sequence* v = value.AsSequence()) return v->kind == SequenceKind::kGenerator || !v->items.empty();
  if (const Mapping* v = value.AsMapping()) return !v->items.empty();
  return value.AsObject() != nullptr;
}

std::optional<std::int64_t> IntegerOf(const Value& value) {
  if (const bool* v = value.AsBool()) return *v ? 1 : 0;
  if (const std::int64_t* v = value.AsInt()) return *v;
  return std::nullopt;
}

std::optional<double> NumberOf(const Value& value) {
  if (const double* v = value.AsFloat()) return *v;
  if (const std::optional<std::int64_t> v = IntegerOf(value)) return static_cast<double>(*v);
  return std::nullopt;
}

std::optional<std::int64_t> Truncate(double value) {
  constexpr double kLimit = 9223372036854775808.0;  // 2^63
  if (!(value > -kLimit && value < kLimit)) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

Result<std::shared_ptr<const Sequence>> Items(Runtime& runtime, const Value& value) {
  if (const Sequence* sequence = value.AsSequence()) {
    if (sequence->kind != SequenceKind::kGenerator) return value.SharedSequence();
    const std::size_t taken = std::exchange(sequence->taken, sequence->items.size());
    if (taken == 0) return value.SharedSequence();
    RETURN_IF_ERROR(runtime.budget().Step(sequence->items.size() - taken));
    auto rest = std::make_shared<Sequence>();
    rest->items.assign(sequence->items.begin() + static_cast<std::ptrdiff_t>(taken), sequence->items.end());
    rest->depth = sequence->depth;
    return std::shared_ptr<const Sequence>(std::move(rest));
  }
  if (const std::string* text = value.AsString()) return Characters(runtime, *text);
  if (value.AsUndefined() != nullptr) return std::make_shared<const Sequence>();
  const Mapping* mapping = value.AsMapping();
  if (mapping == nullptr) return InvalidArgument("'" + TypeName(value) + "' cannot be iterated over");
  RETURN_IF_ERROR(runtime.budget().Step(mapping->items.size()));
  auto keys = std::make_shared<Sequence>();
  for (const auto& [key, item] : mapping->items) keys->items.emplace_back(key);
  return std::shared_ptr<const Sequence>(std::move(keys));
}

Result<std::int64_t> Length(Runtime& runtime, const Value& value) {
  if (const std::string* text = value.AsString()) {
    RETURN_IF_ERROR(runtime.budget().Scan(text->size()));
    return static_cast<std::int64_t>(CountCharacters(*text));
  }
  if (const Mapping* mapping = value.AsMapping()) return static_cast<std::int64_t>(mapping->items.size());
  if (value.AsUndefined() != nullptr) return std::int64_t{0};
  const Sequence* sequence = value.AsSequence();
  if (sequence == nullptr || sequence->kind == SequenceKind::kGenerator) {
    return InvalidArgument("'" + TypeName(value) + "' has no length");
  }
  return static_cast<std::int64_t>(sequence->items.size());
}

}  // namespace reprise::chat_template
