// The `loop` variable: where a `for` stands in what it walks.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "models/chat_template/runtime.h"
#include "models/chat_template/value.h"

namespace reprise::chat_template {

class Loop : public Object {
 public:
  // Whether the loop takes an item; asked when the item's turn comes, since the answer may change while
  // looping.
  using Filter = std::function<Result<bool>(const Value& item)>;
  // Renders the loop's body over other items, one level deeper; empty unless the loop is recursive.
  using Recurse = std::function<Result<Value>(const Value& iterable, int depth)>;

  Loop(Runtime& runtime, std::shared_ptr<const Sequence> items, Filter filter, Recurse recurse, int depth);

  // Moves to the next item, unless there is none.
  Result<bool> Advance();
  const Value& current() const { return current_; }

  std::string Describe() const override { return "LoopContext"; }
  Result<std::optional<Value>> Attribute(std::string_view name) override;
  bool IsCallable() const override { return recurse_ != nullptr; }
  Result<Value> Call(const CallArguments& arguments) override;

 private:
  class Method;
  using Function = Result<Value> (Loop::*)(const CallArguments&);

  Result<std::optional<Value>> Fetch();
  // The item after the current one, fetched ahead.
  Result<const std::optional<Value>*> Peek();
  Result<std::int64_t> CountItems();
  Result<Value> MakeMethod(Function function);
  Result<Value> Cycle(const CallArguments& arguments);
  Result<Value> Changed(const CallArguments& arguments);

  Runtime& runtime_;
  std::shared_ptr<const Sequence> items_;
  Filter filter_;
  const Recurse recurse_;
  const int depth_;          // of recursion, from 0
  std::size_t next_ = 0;     // in items_
  std::int64_t index_ = -1;  // of the current item among those taken
  std::optional<std::int64_t> length_;
  std::optional<Value> previous_, after_;
  bool has_after_ = false;  // after_ holds the next item, or nothing at the end
  Value current_;
  std::optional<Value> last_changed_;
};

}  // namespace reprise::chat_template
