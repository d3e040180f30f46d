// What the functions of the template language share during one render: the budget, the clock and the objects.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "models/chat_template/budget.h"
#include "models/chat_template/builtins.h"
#include "models/chat_template/value.h"

namespace reprise::chat_template {

// A value with behaviour: a namespace, a macro, a method, a loop. Compared by identity.
class Object {
 public:
  virtual ~Object() = default;
  // What Python would print, which also names it in error messages.
  virtual std::string Describe() const = 0;
  // The attribute of that name, or nothing.
  virtual Result<std::optional<Value>> Attribute(std::string_view) { return std::optional<Value>(); }
  virtual bool IsCallable() const { return false; }
  virtual Result<Value> Call(const CallArguments&) {
    return InvalidArgument("'" + Describe() + "' is not callable");
  }
};

class Runtime {
 public:
  Runtime(const ChatTemplateLimits& limits, std::time_t now) : budget_(limits), now_(now) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  Budget& budget() { return budget_; }
  std::time_t now() const { return now_; }

  // The error on its way out is the template's own, from raise_exception.
  void NoteRaised() { raised_ = true; }
  bool raised() const { return raised_; }

  // Objects live until the render ends, so that values may refer to each other in circles.
  template <typename T, typename... Arguments>
  Result<T*> MakeObject(Arguments&&... arguments) {
    RETURN_IF_ERROR(budget_.Step(kStepsPerObject));
    auto object = std::make_unique<T>(std::forward<Arguments>(arguments)...);
    T* raw = object.get();
    objects_.push_back(std::move(object));
    return raw;
  }

  // New values, charged to the budget.
  Result<Value> MakeText(std::string text) {
    RETURN_IF_ERROR(budget_.Produce(text.size()));
    return Value(std::move(text));
  }
  Result<Value> MakeText(std::string_view text) {
    RETURN_IF_ERROR(budget_.Produce(text.size()));
    return Value(std::string(text));
  }
  Result<Value> MakeSequence(SequenceKind kind, List items) {
    RETURN_IF_ERROR(budget_.Step(items.size()));
    return CheckedDepth(Value(kind, std::move(items)));
  }
  Result<Value> MakeList(List items) { return MakeSequence(SequenceKind::kList, std::move(items)); }
  Result<Value> MakeMapping(Entries items) {
    RETURN_IF_ERROR(budget_.Step(items.size()));
    return CheckedDepth(Value::FromEntries(std::move(items)));
  }

 private:
  // Keeps the memory of objects within what steps are worth elsewhere.
  static constexpr std::size_t kStepsPerObject = 8;

  // Functions that walk values recurse: no value is nested deeper than the evaluation may be.
  Result<Value> CheckedDepth(Value value) const {
    RETURN_IF_ERROR(budget_.CheckDepth(value.Depth()));
    return value;
  }

  Budget budget_;
  const std::time_t now_;
  bool raised_ = false;
  std::vector<std::unique_ptr<Object>> objects_;
};

}  // namespace reprise::chat_template
