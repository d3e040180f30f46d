#include "models/chat_template/loop.h"

#include <utility>

#include "models/chat_template/attributes.h"
#include "models/chat_template/operators.h"

namespace reprise::chat_template {

// loop.cycle and loop.changed.
class Loop::Method : public Object {
 public:
  Method(Loop& loop, Function function) : loop_(loop), function_(function) {}
  std::string Describe() const override { return "method of LoopContext"; }
  bool IsCallable() const override { return true; }
  Result<Value> Call(const CallArguments& arguments) override { return (loop_.*function_)(arguments); }

 private:
  Loop& loop_;
  const Function function_;
};

Loop::Loop(Runtime& runtime, std::shared_ptr<const Sequence> items, Filter filter, Recurse recurse, int depth)
    : runtime_(runtime),
      items_(std::move(items)),
      filter_(std::move(filter)),
      recurse_(std::move(recurse)),
      depth_(depth) {}

Result<std::optional<Value>> Loop::Fetch() {
  while (next_ < items_->items.size()) {
    const Value item = items_->items[next_++];
    RETURN_IF_ERROR(runtime_.budget().Step());
    bool passes = true;
    if (filter_ != nullptr) {
      ASSIGN_OR_RETURN(passes, filter_(item));
    }
    if (passes) return std::optional<Value>(item);
  }
  return std::optional<Value>();
}

Result<const std::optional<Value>*> Loop::Peek() {
  if (!has_after_) {
    ASSIGN_OR_RETURN(after_, Fetch());
    has_after_ = true;
  }
  return &after_;
}

Result<bool> Loop::Advance() {
  ASSIGN_OR_RETURN(const std::optional<Value>* next, Peek());
  if (!next->has_value()) return false;
  has_after_ = false;
  if (index_ >= 0) previous_ = std::move(current_);
  current_ = **next;
  ++index_;
  return true;
}

// A filtered loop has to look at all the rest for that.
Result<std::int64_t> Loop::CountItems() {
  if (!length_ && filter_ == nullptr) length_ = static_cast<std::int64_t>(items_->items.size());
  if (!length_) {
    auto rest = std::make_shared<Sequence>();
    for (;;) {
      ASSIGN_OR_RETURN(std::optional<Value> item, Fetch());
      if (!item) break;
      rest->items.push_back(std::move(*item));
    }
    const bool has_peeked = has_after_ && after_.has_value();
    length_ = static_cast<std::int64_t>(rest->items.size()) + index_ + 1 + (has_peeked ? 1 : 0);
    items_ = std::move(rest);
    next_ = 0;
    filter_ = nullptr;
  }
  return *length_;
}

Result<Value> Loop::MakeMethod(Function function) {
  ASSIGN_OR_RETURN(Method * method, runtime_.MakeObject<Method>(*this, function));
  return Value(method);
}

Result<Value> Loop::Cycle(const CallArguments& arguments) {
  if (arguments.positional.empty()) return InvalidArgument("loop.cycle needs items");
  return arguments.positional[static_cast<std::size_t>(index_) % arguments.positional.size()];
}

Result<Value> Loop::Changed(const CallArguments& arguments) {
  const Value values(SequenceKind::kTuple, arguments.positional);
  bool is_same = false;
  if (last_changed_) {
    ASSIGN_OR_RETURN(is_same, Equal(runtime_, *last_changed_, values));
  }
  last_changed_ = values;
  return Value(!is_same);
}

Result<std::optional<Value>> Loop::Attribute(std::string_view name) {
  const auto some = [](Value value) { return std::optional<Value>(std::move(value)); };
  if (name == "index0") return some(index_);
  if (name == "index") return some(index_ + 1);
  if (name == "first") return some(index_ == 0);
  if (name == "depth0") return some(depth_);
  if (name == "depth") return some(depth_ + 1);
  if (name == "previtem") return some(previous_ ? *previous_ : MakeUndefined("there is no previous item"));
  if (name == "last" || name == "nextitem") {
    ASSIGN_OR_RETURN(const std::optional<Value>* next, Peek());
    if (name == "last") return some(!next->has_value());
    return some(next->has_value() ? **next : MakeUndefined("there is no next item"));
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    ASSIGN_OR_RETURN(const std::int64_t length, CountItems());
    return some(name == "length" ? length : length - index_ - (name == "revindex0" ? 1 : 0));
  }
  if (name == "cycle" || name == "changed") {
    ASSIGN_OR_RETURN(Value method, MakeMethod(name == "cycle" ? &Loop::Cycle : &Loop::Changed));
    return some(std::move(method));
  }
  return std::optional<Value>();
}

Result<Value> Loop::Call(const CallArguments& arguments) {
  if (recurse_ == nullptr) return InvalidArgument("only a loop marked 'recursive' can be called");
  if (arguments.positional.size() != 1 || !arguments.keyword.empty()) {
    return InvalidArgument("a recursive loop is called with what to loop over");
  }
  return recurse_(arguments.positional[0], depth_ + 1);
}

}  // namespace reprise::chat_template
