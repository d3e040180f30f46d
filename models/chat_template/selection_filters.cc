// Filters that apply another filter or a test to every item: map, select, reject and their attribute forms.
#include <string>
#include <utility>

#include "models/chat_template/attributes.h"
#include "models/chat_template/function_tables.h"
#include "models/chat_template/operators.h"
#include "models/chat_template/runtime.h"

namespace reprise::chat_template {
namespace {

// The name in positional argument `position`, and the arguments after it.
struct NamedCall {
  std::string name;
  CallArguments rest;
};

Result<NamedCall> SplitName(const CallArguments& arguments, std::size_t position, const char* what) {
  const std::string* name =
      position < arguments.positional.size() ? arguments.positional[position].AsString() : nullptr;
  if (name == nullptr) return InvalidArgument(std::string("the name of a ") + what + " is needed");
  NamedCall call{*name, {}};
  call.rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(position) + 1,
                              arguments.positional.end());
  call.rest.keyword = arguments.keyword;
  return call;
}

Result<List> MapAttribute(Runtime& runtime, const List& items, const CallArguments& arguments) {
  const Value* attribute = FindKey(arguments.keyword, "attribute");
  const Value* fallback = FindKey(arguments.keyword, "default");
  const std::size_t known = (attribute != nullptr ? 1u : 0u) + (fallback != nullptr ? 1u : 0u);
  if (attribute == nullptr || arguments.keyword.size() != known) {
    return InvalidArgument("map needs the name of a filter, or 'attribute' and perhaps 'default'");
  }
  List mapped;
  for (const Value& item : items) {
    RETURN_IF_ERROR(runtime.budget().Step());
    ASSIGN_OR_RETURN(Value value,
                     GetPath(runtime, item, *attribute, fallback == nullptr ? Value() : *fallback));
    mapped.push_back(std::move(value));
  }
  return mapped;
}

Result<List> MapFilter(Runtime& runtime, const List& items, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const NamedCall call, SplitName(arguments, 0, "filter"));
  const FilterFunction filter = FindFilter(call.name);
  if (filter == nullptr) return InvalidArgument("no filter named '" + call.name + "'");
  List mapped;
  for (const Value& item : items) {
    RETURN_IF_ERROR(runtime.budget().Step());
    ASSIGN_OR_RETURN(Value value, filter(runtime, item, call.rest));
    mapped.push_back(std::move(value));
  }
  return mapped;
}

Result<Value> Map(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  if (!IsTrue(input)) return Value(SequenceKind::kGenerator, List());
  ASSIGN_OR_RETURN(const std::shared_ptr<const Sequence> items, Items(runtime, input));
  const auto map = arguments.positional.empty() ? MapAttribute : MapFilter;
  // A filter may be applied to the results of filters: one more level for each.
  DepthGuard depth(runtime.budget());
  RETURN_IF_ERROR(depth.status());
  ASSIGN_OR_RETURN(List mapped, map(runtime, items->items, arguments));
  return runtime.MakeSequence(SequenceKind::kGenerator, std::move(mapped));
}

// Keeps the items, or by attribute the items whose attribute, passes (or fails) the test; without one, is
// true.
template <bool keeps_passing, bool by_attribute>
Result<Value> Select(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  if (!IsTrue(input)) return Value(SequenceKind::kGenerator, List());
  constexpr std::size_t kTestPosition = by_attribute ? 1 : 0;
  if (by_attribute && arguments.positional.empty())
    return InvalidArgument("the name of an attribute is needed");
  NamedCall call;
  TestFunction test = nullptr;
  if (arguments.positional.size() > kTestPosition) {
    ASSIGN_OR_RETURN(call, SplitName(arguments, kTestPosition, "test"));
    test = FindTest(call.name);
    if (test == nullptr) return InvalidArgument("no test named '" + call.name + "'");
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<const Sequence> items, Items(runtime, input));
  List kept;
  for (const Value& item : items->items) {
    RETURN_IF_ERROR(runtime.budget().Step());
    Value tested = item;
    if (by_attribute) {
      ASSIGN_OR_RETURN(tested, GetPath(runtime, item, arguments.positional[0]));
    }
    bool passes = IsTrue(tested);
    if (test != nullptr) {
      ASSIGN_OR_RETURN(passes, test(runtime, tested, call.rest));
    }
    if (passes == keeps_passing) kept.push_back(item);
  }
  return runtime.MakeSequence(SequenceKind::kGenerator, std::move(kept));
}

constexpr NamedFunction<FilterFunction> kSelectionFilters[] = {
    {"map", Map},
    {"select", Select<true, false>},
    {"reject", Select<false, false>},
    {"selectattr", Select<true, true>},
    {"rejectattr", Select<false, true>},
};

}  // namespace

FilterFunction FindSelectionFilter(std::string_view name) {
  return FindByName(kSelectionFilters, name);
}

FilterFunction FindFilter(std::string_view name) {
  for (const auto find : {FindTextFilter, FindNumberFilter, FindSequenceFilter, FindSelectionFilter}) {
    if (const FilterFunction filter = find(name)) return filter;
  }
  return nullptr;
}

}  // namespace reprise::chat_template
