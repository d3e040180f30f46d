// The values a chat template computes with: what Python's Jinja would see as None, bool, int, float, str,
// list and dict, and, while a template runs, undefined values, tuples, views and callable objects.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace reprise::chat_template {

class Object;
class Value;
using List = std::vector<Value>;
using Dict = std::vector<std::pair<std::string, Value>>;  // insertion order, as in Python; keys are unique
using Entries = std::vector<std::pair<Value, Value>>;     // the same with any keys

// How Python would print a sequence, and what it may do with it.
enum class SequenceKind : std::uint8_t {
  kList,
  kTuple,
  kRange,
  kGenerator,
  kDictKeys,
  kDictValues,
  kDictItems
};

struct Sequence {
  List items;
  int depth = 1;  // nesting of containers, itself included
  SequenceKind kind = SequenceKind::kList;
  // Of a generator, which can be walked once: how many items were taken. Only the render that made it sees
  // it.
  mutable std::size_t taken = 0;
};

struct Mapping {
  Entries items;
  int depth = 1;
};

// Text that the `safe` or `escape` filter has marked: what is added to it gets its HTML escaped.
struct Markup {
  std::string text;
};

// What a missing variable or attribute evaluates to: empty when printed, an error when used.
struct Undefined {
  std::shared_ptr<const std::string> reason;
};

// Cheap to copy: strings and containers are shared and never change once they are in a Value.
class Value {
 public:
  Value() = default;  // None
  Value(std::nullptr_t) {}
  Value(bool v) : data_(v) {}
  Value(std::int64_t v) : data_(v) {}
  Value(int v) : data_(std::int64_t{v}) {}
  Value(double v) : data_(v) {}
  Value(std::string v) : data_(std::make_shared<const std::string>(std::move(v))) {}
  Value(const char* v) : Value(std::string(v)) {}
  Value(List v) : Value(SequenceKind::kList, std::move(v)) {}
  Value(const Dict& v) : Value(FromEntries(Entries(v.begin(), v.end()))) {}
  Value(SequenceKind kind, List v);
  Value(std::shared_ptr<const Sequence> v) : data_(std::move(v)) {}
  Value(Undefined v) : data_(std::move(v)) {}
  Value(Markup v) : data_(std::make_shared<const Markup>(std::move(v))) {}
  // Run-time only: the object belongs to the render that made it, and no value outlives that.
  Value(Object* v) : data_(v) {}
  static Value FromEntries(Entries v);

  bool IsNone() const { return std::holds_alternative<std::monostate>(data_); }
  // Each of these is null when the value is of another type.
  const bool* AsBool() const { return std::get_if<bool>(&data_); }
  const std::int64_t* AsInt() const { return std::get_if<std::int64_t>(&data_); }
  const double* AsFloat() const { return std::get_if<double>(&data_); }
  const std::string* AsString() const {
    const Markup* markup = Pointee<MarkupPtr>();
    return markup == nullptr ? Pointee<StringPtr>() : &markup->text;
  }
  const Sequence* AsSequence() const { return Pointee<SequencePtr>(); }
  const Mapping* AsMapping() const { return Pointee<MappingPtr>(); }
  const Undefined* AsUndefined() const { return std::get_if<Undefined>(&data_); }
  Object* AsObject() const {
    Object* const* object = std::get_if<Object*>(&data_);
    return object == nullptr ? nullptr : *object;
  }
  bool IsMarkup() const { return std::holds_alternative<MarkupPtr>(data_); }
  std::shared_ptr<const Sequence> SharedSequence() const { return std::get<SequencePtr>(data_); }
  // Nesting of containers: 0 for anything else.
  int Depth() const;

 private:
  using StringPtr = std::shared_ptr<const std::string>;
  using MarkupPtr = std::shared_ptr<const Markup>;
  using SequencePtr = std::shared_ptr<const Sequence>;
  using MappingPtr = std::shared_ptr<const Mapping>;

  template <typename Pointer>
  const typename Pointer::element_type* Pointee() const {
    const Pointer* pointer = std::get_if<Pointer>(&data_);
    return pointer == nullptr ? nullptr : pointer->get();
  }

  std::variant<std::monostate, bool, std::int64_t, double, StringPtr, MarkupPtr, SequencePtr, MappingPtr,
               Undefined, Object*>
      data_;
};

inline int Value::Depth() const {
  if (const Sequence* sequence = AsSequence()) return sequence->depth;
  if (const Mapping* mapping = AsMapping()) return mapping->depth;
  return 0;
}

inline Value::Value(SequenceKind kind, List v) {
  auto sequence = std::make_shared<Sequence>();
  sequence->kind = kind;
  sequence->items = std::move(v);
  for (const Value& item : sequence->items) sequence->depth = std::max(sequence->depth, item.Depth() + 1);
  data_ = SequencePtr(std::move(sequence));
}

inline Value Value::FromEntries(Entries v) {
  auto mapping = std::make_shared<Mapping>();
  mapping->items = std::move(v);
  for (const auto& [key, item] : mapping->items) {
    mapping->depth = std::max({mapping->depth, key.Depth() + 1, item.Depth() + 1});
  }
  Value value;
  value.data_ = MappingPtr(std::move(mapping));
  return value;
}

}  // namespace reprise::chat_template
