// Filters that take sequences apart, order them and add them up.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "models/chat_template/arguments.h"
#include "models/chat_template/attributes.h"
#include "models/chat_template/formatting.h"
#include "models/chat_template/function_tables.h"
#include "models/chat_template/operators.h"
#include "models/chat_template/runtime.h"
#include "models/chat_template/text.h"

namespace reprise::chat_template {
namespace {

using ItemsPtr = std::shared_ptr<const Sequence>;

Result<Value> DefaultFilter(Runtime&, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("default", {"default_value", "boolean"}, 0, arguments));
  const bool is_missing = input.AsUndefined() != nullptr || (bound.Flag(1, false) && !IsTrue(input));
  if (!is_missing) return input;
  return bound[0] == nullptr ? Value("") : *bound[0];
}

Result<Value> LengthFilter(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("length", {}, 0, arguments).status());
  ASSIGN_OR_RETURN(const std::int64_t length, Length(runtime, input));
  return Value(length);
}

Result<Value> First(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("first", {}, 0, arguments).status());
  const Sequence* sequence = input.AsSequence();
  if (sequence != nullptr && sequence->kind == SequenceKind::kGenerator) {
    if (sequence->taken < sequence->items.size()) return sequence->items[sequence->taken++];
    return MakeUndefined("there is no first item: the sequence is empty");
  }
  ASSIGN_OR_RETURN(const ItemsPtr items, Items(runtime, input));
  return items->items.empty() ? MakeUndefined("there is no first item: the sequence is empty")
                              : items->items.front();
}

Result<Value> Last(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("last", {}, 0, arguments).status());
  const Sequence* sequence = input.AsSequence();
  if (sequence != nullptr && sequence->kind == SequenceKind::kGenerator) {
    return InvalidArgument("a generator has no last item; make it a list first");
  }
  ASSIGN_OR_RETURN(const ItemsPtr items, Items(runtime, input));
  return items->items.empty() ? MakeUndefined("there is no last item: the sequence is empty")
                              : items->items.back();
}

Result<Value> ListFilter(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("list", {}, 0, arguments).status());
  ASSIGN_OR_RETURN(const ItemsPtr items, Items(runtime, input));
  return runtime.MakeList(items->items);
}

Result<Value> Reverse(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("reverse", {}, 0, arguments).status());
  if (input.AsString() != nullptr) return GetSlice(runtime, input, Value(), Value(), -1);
  ASSIGN_OR_RETURN(const ItemsPtr items, Items(runtime, input));
  RETURN_IF_ERROR(runtime.budget().Step(items->items.size()));
  List reversed(items->items.rbegin(), items->items.rend());
  return runtime.MakeSequence(SequenceKind::kGenerator, std::move(reversed));
}

Result<Value> ItemsFilter(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("items", {}, 0, arguments).status());
  if (input.AsUndefined() != nullptr) return Value(SequenceKind::kGenerator, List());
  if (input.AsMapping() == nullptr)
    return InvalidArgument("items needs a dict, not '" + TypeName(input) + "'");
  ASSIGN_OR_RETURN(const Value view, FindDictMethod("items")(runtime, input, {}));
  return runtime.MakeSequence(SequenceKind::kGenerator, view.AsSequence()->items);
}

// --- Order ---

Result<Value> IgnoreCase(Runtime& runtime, const Value& value) {
  return value.AsString() == nullptr ? Result<Value>(value) : FindStringMethod("lower")(runtime, value, {});
}

// What an item is compared by: itself, or the value of its attribute.
Result<Value> KeyOf(Runtime& runtime, const Value& item, const Value* attribute, bool case_sensitive) {
  Value key = item;
  if (attribute != nullptr && !attribute->IsNone()) {
    ASSIGN_OR_RETURN(key, GetPath(runtime, item, *attribute));
  }
  return case_sensitive ? Result<Value>(key) : IgnoreCase(runtime, key);
}

// The same for an attribute that names several ones, separated by commas: a list of values.
Result<Value> KeysOf(Runtime& runtime, const Value& item, const Value* attribute, bool case_sensitive) {
  const std::string* names = attribute == nullptr ? nullptr : attribute->AsString();
  if (names == nullptr || names->find(',') == std::string::npos) {
    return KeyOf(runtime, item, attribute, case_sensitive);
  }
  RETURN_IF_ERROR(runtime.budget().Step(names->size()));
  List keys;
  for (std::string_view name : SplitOn(*names, ",", -1, Side::kLeft)) {
    const Value path{std::string(name)};
    ASSIGN_OR_RETURN(Value key, KeyOf(runtime, item, &path, case_sensitive));
    keys.push_back(std::move(key));
  }
  return runtime.MakeList(std::move(keys));
}

// Positions of `keys` in ascending order, or descending; equal ones keep their order. A merge sort, since a
// comparison may fail.
Result<std::vector<std::size_t>> SortedPositions(Runtime& runtime, const List& keys, bool descending) {
  std::vector<std::size_t> order(keys.size()), merged(keys.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const CompareOperator op = descending ? CompareOperator::kGreater : CompareOperator::kLess;
  for (std::size_t width = 1; width < order.size(); width *= 2) {
    for (std::size_t begin = 0; begin < order.size(); begin += 2 * width) {
      const std::size_t middle = std::min(begin + width, order.size());
      const std::size_t end = std::min(begin + 2 * width, order.size());
      std::size_t left = begin, right = middle;
      for (std::size_t i = begin; i < end; ++i) {
        bool takes_right = left == middle;
        if (left < middle && right < end) {
          ASSIGN_OR_RETURN(takes_right, Ordered(runtime, op, keys[order[right]], keys[order[left]]));
        }
        merged[i] = takes_right ? order[right++] : order[left++];
      }
    }
    order.swap(merged);
  }
  return order;
}

Result<List> SortItems(Runtime& runtime, const List& items, const List& keys, bool descending) {
  ASSIGN_OR_RETURN(const std::vector<std::size_t> order, SortedPositions(runtime, keys, descending));
  List sorted;
  for (std::size_t position : order) sorted.push_back(items[position]);
  return sorted;
}

Result<Value> Sort(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("sort", {"reverse", "case_sensitive", "attribute"}, 0, arguments));
  ASSIGN_OR_RETURN(const ItemsPtr items, Items(runtime, input));
  List keys;
  for (const Value& item : items->items) {
    RETURN_IF_ERROR(runtime.budget().Step());
    ASSIGN_OR_RETURN(Value key, KeysOf(runtime, item, bound[2], bound.Flag(1, false)));
    keys.push_back(std::move(key));
  }
  ASSIGN_OR_RETURN(List sorted, SortItems(runtime, items->items, keys, bound.Flag(0, false)));
  return runtime.MakeList(std::move(sorted));
}

Result<Value> DictSort(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("dictsort", {"case_sensitive", "by", "reverse"}, 0, arguments));
  ASSIGN_OR_RETURN(const std::string_view by, bound.Text(1, "key"));
  RETURN_IF_ERROR(CheckDefined(input));
  if (by != "key" && by != "value") return InvalidArgument("dictsort sorts by 'key' or 'value'");
  if (input.AsMapping() == nullptr)
    return InvalidArgument("dictsort needs a dict, not '" + TypeName(input) + "'");
  ASSIGN_OR_RETURN(const Value view, FindDictMethod("items")(runtime, input, {}));
  List keys;
  for (const auto& [name, value] : input.AsMapping()->items) {
    ASSIGN_OR_RETURN(Value key, KeyOf(runtime, by == "key" ? name : value, nullptr, bound.Flag(0, false)));
    keys.push_back(std::move(key));
  }
  ASSIGN_OR_RETURN(List sorted, SortItems(runtime, view.AsSequence()->items, keys, bound.Flag(2, false)));
  return runtime.MakeList(std::move(sorted));
}

Result<Value> Unique(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("unique", {"case_sensitive", "attribute"}, 0, arguments));
  ASSIGN_OR_RETURN(const ItemsPtr items, Items(runtime, input));
  List kept, keys;
  for (const Value& item : items->items) {
    RETURN_IF_ERROR(runtime.budget().Step());
    ASSIGN_OR_RETURN(Value key, KeyOf(runtime, item, bound[1], bound.Flag(0, false)));
    bool is_new = true;
    for (std::size_t i = 0; i < keys.size() && is_new; ++i) {
      ASSIGN_OR_RETURN(const bool equal, Equal(runtime, keys[i], key));
      is_new = !equal;
    }
    if (!is_new) continue;
    keys.push_back(std::move(key));
    kept.push_back(item);
  }
  return runtime.MakeSequence(SequenceKind::kGenerator, std::move(kept));
}

template <CompareOperator better>
Result<Value> Extreme(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("min or max", {"case_sensitive", "attribute"}, 0, arguments));
  ASSIGN_OR_RETURN(const ItemsPtr items, Items(runtime, input));
  if (items->items.empty()) return MakeUndefined("there is no such item: the sequence is empty");
  Value best, best_key;
  for (std::size_t i = 0; i < items->items.size(); ++i) {
    RETURN_IF_ERROR(runtime.budget().Step());
    ASSIGN_OR_RETURN(const Value key, KeyOf(runtime, items->items[i], bound[1], bound.Flag(0, false)));
    bool is_better = i == 0;
    if (!is_better) {
      ASSIGN_OR_RETURN(is_better, Ordered(runtime, better, key, best_key));
    }
    if (!is_better) continue;
    best = items->items[i];
    best_key = key;
  }
  return best;
}

Result<Value> GroupBy(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("groupby", {"attribute", "default", "case_sensitive"}, 1, arguments));
  ASSIGN_OR_RETURN(const ItemsPtr items, Items(runtime, input));
  List names, keys;
  for (const Value& item : items->items) {
    RETURN_IF_ERROR(runtime.budget().Step());
    ASSIGN_OR_RETURN(Value name,
                     GetPath(runtime, item, *bound[0], bound[1] == nullptr ? Value() : *bound[1]));
    ASSIGN_OR_RETURN(Value key, KeyOf(runtime, name, nullptr, bound.Flag(2, false)));
    names.push_back(std::move(name));
    keys.push_back(std::move(key));
  }
  ASSIGN_OR_RETURN(const std::vector<std::size_t> order,
                   SortedPositions(runtime, keys, /*descending=*/false));
  List groups;
  for (std::size_t begin = 0; begin < order.size();) {
    List members;
    std::size_t end = begin;
    for (bool same = true; end < order.size() && same;) {
      ASSIGN_OR_RETURN(same, Equal(runtime, keys[order[begin]], keys[order[end]]));
      if (same) members.push_back(items->items[order[end++]]);
    }
    ASSIGN_OR_RETURN(Value list, runtime.MakeList(std::move(members)));
    ASSIGN_OR_RETURN(Value group,
                     runtime.MakeSequence(SequenceKind::kTuple, {names[order[begin]], std::move(list)}));
    groups.push_back(std::move(group));
    begin = end;
  }
  return runtime.MakeList(std::move(groups));
}

// --- Sums and parts ---

Result<Value> Sum(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("sum", {"attribute", "start"}, 0, arguments));
  ASSIGN_OR_RETURN(const ItemsPtr items, Items(runtime, input));
  Value total = bound[1] == nullptr ? Value(0) : *bound[1];
  if (total.AsString() != nullptr) return InvalidArgument("sum cannot add strings; use join");
  for (const Value& item : items->items) {
    ASSIGN_OR_RETURN(const Value term, KeyOf(runtime, item, bound[0], /*case_sensitive=*/true));
    RETURN_IF_ERROR(runtime.budget().Step());
    ASSIGN_OR_RETURN(total, Arithmetic(runtime, ArithmeticOperator::kAdd, total, term));
  }
  return total;
}

Result<Value> Batch(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("batch", {"linecount", "fill_with"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::int64_t size, bound.Integer(0, 1));
  if (size < 1) return InvalidArgument("batch needs a positive size");
  ASSIGN_OR_RETURN(const ItemsPtr items, Items(runtime, input));
  List batches, batch;
  const auto finish = [&]() -> Status {
    ASSIGN_OR_RETURN(Value made, runtime.MakeList(std::exchange(batch, List())));
    batches.push_back(std::move(made));
    return OkStatus();
  };
  for (const Value& item : items->items) {
    batch.push_back(item);
    if (static_cast<std::int64_t>(batch.size()) == size) RETURN_IF_ERROR(finish());
  }
  if (!batch.empty()) {
    const bool fills = bound[1] != nullptr && !bound[1]->IsNone();
    while (fills && static_cast<std::int64_t>(batch.size()) < size) {
      RETURN_IF_ERROR(runtime.budget().Step());
      batch.push_back(*bound[1]);
    }
    RETURN_IF_ERROR(finish());
  }
  return runtime.MakeSequence(SequenceKind::kGenerator, std::move(batches));
}

Result<Value> Slice(Runtime& runtime, const Value& input, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("slice", {"slices", "fill_with"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::int64_t count, bound.Integer(0, 1));
  if (count < 1) return InvalidArgument("slice needs a positive number of slices");
  ASSIGN_OR_RETURN(const ItemsPtr items, Items(runtime, input));
  const auto total = static_cast<std::int64_t>(items->items.size());
  List slices;
  auto next = items->items.begin();
  for (std::int64_t i = 0; i < count; ++i) {
    const bool is_longer = i < total % count;
    List slice(next, next + total / count + (is_longer ? 1 : 0));
    next += static_cast<std::ptrdiff_t>(slice.size());
    if (!is_longer && bound[1] != nullptr && !bound[1]->IsNone()) slice.push_back(*bound[1]);
    RETURN_IF_ERROR(runtime.budget().Step());
    ASSIGN_OR_RETURN(Value made, runtime.MakeList(std::move(slice)));
    slices.push_back(std::move(made));
  }
  return runtime.MakeSequence(SequenceKind::kGenerator, std::move(slices));
}

constexpr NamedFunction<FilterFunction> kSequenceFilters[] = {
    {"default", DefaultFilter},
    {"d", DefaultFilter},
    {"length", LengthFilter},
    {"count", LengthFilter},
    {"first", First},
    {"last", Last},
    {"list", ListFilter},
    {"reverse", Reverse},
    {"items", ItemsFilter},
    {"sort", Sort},
    {"dictsort", DictSort},
    {"unique", Unique},
    {"min", Extreme<CompareOperator::kLess>},
    {"max", Extreme<CompareOperator::kGreater>},
    {"groupby", GroupBy},
    {"sum", Sum},
    {"batch", Batch},
    {"slice", Slice},
};

}  // namespace

FilterFunction FindSequenceFilter(std::string_view name) {
  return FindByName(kSequenceFilters, name);
}

}  // namespace reprise::chat_template
