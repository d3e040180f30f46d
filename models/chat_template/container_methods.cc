// The methods of dict, list and tuple: those that change nothing, as the sandbox forbids the others.
#include <string>

#include "models/chat_template/arguments.h"
#include "models/chat_template/attributes.h"
#include "models/chat_template/function_tables.h"
#include "models/chat_template/operators.h"
#include "models/chat_template/runtime.h"

namespace reprise::chat_template {
namespace {

// keys, values and items.
template <SequenceKind kind>
Result<Value> View(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("a dict view", {}, 0, arguments).status());
  List items;
  RETURN_IF_ERROR(runtime.budget().Step(self.AsMapping()->items.size()));
  for (const auto& [key, value] : self.AsMapping()->items) {
    if constexpr (kind == SequenceKind::kDictKeys) {
      items.push_back(key);
    } else if constexpr (kind == SequenceKind::kDictValues) {
      items.push_back(value);
    } else {
      items.emplace_back(SequenceKind::kTuple, List{key, value});
    }
  }
  return runtime.MakeSequence(kind, std::move(items));
}

Result<Value> Get(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("get", {"key", "default"}, 1, arguments));
  ASSIGN_OR_RETURN(const Value* found, FindKey(runtime, self.AsMapping()->items, *bound[0]));
  if (found != nullptr) return *found;
  return bound[1] == nullptr ? Value() : *bound[1];
}

// Containers never change, so that a copy may be the same value.
Result<Value> Copy(Runtime&, const Value& self, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("copy", {}, 0, arguments).status());
  return self;
}

Result<Value> Index(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("index", {"value"}, 1, arguments));
  const List& items = self.AsSequence()->items;
  for (std::size_t i = 0; i < items.size(); ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equal(runtime, items[i], *bound[0]));
    if (equal) return Value(static_cast<std::int64_t>(i));
  }
  return InvalidArgument("the value is not in the list");
}

Result<Value> Count(Runtime& runtime, const Value& self, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("count", {"value"}, 1, arguments));
  std::int64_t count = 0;
  for (const Value& item : self.AsSequence()->items) {
    ASSIGN_OR_RETURN(const bool equal, Equal(runtime, item, *bound[0]));
    count += equal ? 1 : 0;
  }
  return Value(count);
}

constexpr NamedFunction<MethodFunction> kDictMethods[] = {
    {"get", Get},
    {"keys", View<SequenceKind::kDictKeys>},
    {"values", View<SequenceKind::kDictValues>},
    {"items", View<SequenceKind::kDictItems>},
    {"copy", Copy},
};

constexpr NamedFunction<MethodFunction> kListMethods[] = {
    {"index", Index},
    {"count", Count},
    {"copy", Copy},
};

}  // namespace

MethodFunction FindDictMethod(std::string_view name) {
  return FindByName(kDictMethods, name);
}
MethodFunction FindListMethod(std::string_view name) {
  return FindByName(kListMethods, name);
}

MethodFunction FindMethod(const Value& self, std::string_view name) {
  if (self.AsString() != nullptr) return FindStringMethod(name);
  if (self.AsMapping() != nullptr) return FindDictMethod(name);
  const Sequence* sequence = self.AsSequence();
  const bool is_list = sequence != nullptr && sequence->kind <= SequenceKind::kRange;
  return is_list ? FindListMethod(name) : nullptr;
}

}  // namespace reprise::chat_template
