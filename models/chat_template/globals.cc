#include "models/chat_template/globals.h"

#include <ctime>
#include <string>
#include <utility>

#include "base/utf8.h"
#include "models/chat_template/arguments.h"
#include "models/chat_template/formatting.h"
#include "models/chat_template/function_tables.h"
#include "models/chat_template/operators.h"

namespace reprise::chat_template {
namespace {

class Function : public Object {
 public:
  Function(Runtime& runtime, std::string name, GlobalFunction function)
      : runtime_(runtime), name_(std::move(name)), function_(function) {}
  std::string Describe() const override { return "function " + name_; }
  bool IsCallable() const override { return true; }
  Result<Value> Call(const CallArguments& arguments) override { return function_(runtime_, arguments); }

 private:
  Runtime& runtime_;
  const std::string name_;
  const GlobalFunction function_;
};

// Nothing the first time, the separator from then on.
class Joiner : public Object {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) {}
  std::string Describe() const override { return "Joiner"; }
  bool IsCallable() const override { return true; }
  Result<Value> Call(const CallArguments&) override {
    return std::exchange(used_, true) ? separator_ : Value("");
  }

 private:
  const Value separator_;
  bool used_ = false;
};

// Goes around its items; next and reset are the callable attributes.
class Cycler : public Object {
 public:
  explicit Cycler(List items) : items_(std::move(items)) {}
  std::string Describe() const override { return "Cycler"; }
  Result<std::optional<Value>> Attribute(std::string_view name) override {
    if (name == "current") return std::optional<Value>(items_[position_]);
    if (name == "next") return std::optional<Value>(&next_);
    if (name == "reset") return std::optional<Value>(&reset_);
    return std::optional<Value>();
  }

 private:
  class Control : public Object {
   public:
    Control(Cycler& cycler, bool advances) : cycler_(cycler), advances_(advances) {}
    std::string Describe() const override { return "method of Cycler"; }
    bool IsCallable() const override { return true; }
    Result<Value> Call(const CallArguments&) override {
      const std::size_t current = std::exchange(cycler_.position_, 0);
      if (!advances_) return Value();
      cycler_.position_ = (current + 1) % cycler_.items_.size();
      return cycler_.items_[current];
    }

   private:
    Cycler& cycler_;
    const bool advances_;
  };

  const List items_;
  std::size_t position_ = 0;
  Control next_{*this, true};
  Control reset_{*this, false};
};

// dict(mapping_or_pairs, **items)
Result<Entries> EntriesOf(Runtime& runtime, const CallArguments& arguments) {
  Entries entries;
  if (arguments.positional.size() > 1) return InvalidArgument("dict takes at most one positional argument");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    RETURN_IF_ERROR(CheckDefined(source));
    if (source.AsMapping() != nullptr) {
      RETURN_IF_ERROR(runtime.budget().Step(source.AsMapping()->items.size()));
      entries = source.AsMapping()->items;
    } else {
      ASSIGN_OR_RETURN(const std::shared_ptr<const Sequence> pairs, Items(runtime, source));
      for (const Value& pair : pairs->items) {
        ASSIGN_OR_RETURN(const std::shared_ptr<const Sequence> items, Items(runtime, pair));
        if (items->items.size() != 2) return InvalidArgument("dict needs pairs of a key and a value");
        RETURN_IF_ERROR(SetKey(runtime, &entries, items->items[0], items->items[1]));
      }
    }
  }
  for (const auto& [name, value] : arguments.keyword) RETURN_IF_ERROR(SetKey(runtime, &entries, name, value));
  return entries;
}

Result<Value> MakeDict(Runtime& runtime, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(Entries entries, EntriesOf(runtime, arguments));
  return runtime.MakeMapping(std::move(entries));
}

Result<Value> MakeNamespace(Runtime& runtime, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const Entries attributes, EntriesOf(runtime, arguments));
  ASSIGN_OR_RETURN(Namespace * made, runtime.MakeObject<Namespace>());
  for (const auto& [name, value] : attributes) {
    if (name.AsString() == nullptr) return InvalidArgument("the attributes of a namespace need names");
    RETURN_IF_ERROR(made->Set(runtime, *name.AsString(), value));
  }
  return Value(made);
}

Result<Value> Range(Runtime& runtime, const CallArguments& arguments) {
  constexpr std::int64_t kMaxRange = 100'000;  // that of Jinja's sandbox
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("range", {"start", "stop", "step"}, 1, arguments));
  for (std::size_t i = 0; i < 3; ++i) {
    if (bound[i] == nullptr) continue;
    RETURN_IF_ERROR(CheckDefined(*bound[i]));
    if (!IntegerOf(*bound[i]))
      return InvalidArgument("range needs integers, not '" + TypeName(*bound[i]) + "'");
  }
  const std::int64_t first = bound[1] == nullptr ? 0 : *IntegerOf(*bound[0]);
  const std::int64_t stop = bound[1] == nullptr ? *IntegerOf(*bound[0]) : *IntegerOf(*bound[1]);
  const std::int64_t step = bound[2] == nullptr ? 1 : *IntegerOf(*bound[2]);
  if (step == 0) return InvalidArgument("the step of range may not be zero");
  List items;
  std::int64_t next = first;
  while (step > 0 ? next < stop : next > stop) {
    if (static_cast<std::int64_t>(items.size()) == kMaxRange) {
      return ResourceExhausted("a range may have at most " + std::to_string(kMaxRange) + " elements");
    }
    items.emplace_back(next);
    if (__builtin_add_overflow(next, step, &next)) break;
  }
  return runtime.MakeSequence(SequenceKind::kRange, std::move(items));
}

Result<Value> RaiseException(Runtime& runtime, const CallArguments& arguments) {
  constexpr std::size_t kMaxMessage = 4096;
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("raise_exception", {"message"}, 1, arguments));
  ASSIGN_OR_RETURN(const Value text, ToText(runtime, *bound[0]));
  std::string message = text.AsString()->substr(0, kMaxMessage);
  message.resize(message.size() - IncompleteUtf8Suffix(message));
  runtime.NoteRaised();
  return InvalidArgument(std::move(message));
}

void ReplaceField(std::string* format, std::size_t at, std::string_view text) {
  format->replace(at, 2, text);
}

// datetime.now().strftime(format): a time without a zone, so that %z and %Z are empty, and whole seconds.
Result<Value> StrftimeNow(Runtime& runtime, const CallArguments& arguments) {
  constexpr std::size_t kMaxFormat = 1024, kMaxTime = 16384;
  ASSIGN_OR_RETURN(const BoundArguments bound,
                   BoundArguments::Bind("strftime_now", {"format"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::string_view given, bound.Text(0, ""));
  if (given.size() > kMaxFormat) return InvalidArgument("the format of a time may have at most 1024 bytes");
  std::string format(given.substr(0, given.find('\0')));
  for (std::size_t at = format.find('%'); at != std::string::npos && at + 1 < format.size();
       at = format.find('%', at)) {
    const char field = format[at + 1];
    const std::string_view text = field == 'f' ? "000000" : "";
    if (field == 'f' || field == 'z' || field == 'Z') {
      ReplaceField(&format, at, text);
      at += text.size();
    } else {
      at += 2;
    }
  }
  const std::time_t now = runtime.now();
  std::tm local{};
  if (localtime_r(&now, &local) == nullptr) return InvalidArgument("the current time cannot be represented");
  format += ' ';  // so that an empty time is told from one that does not fit
  std::string text(kMaxTime, '\0');
  const std::size_t size = std::strftime(text.data(), text.size(), format.c_str(), &local);
  if (size == 0) return InvalidArgument("the formatted time is longer than 16384 bytes");
  text.resize(size - 1);
  return runtime.MakeText(std::move(text));
}

Result<Value> MakeJoiner(Runtime& runtime, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("joiner", {"sep"}, 0, arguments));
  ASSIGN_OR_RETURN(Joiner * joiner,
                   runtime.MakeObject<Joiner>(bound[0] == nullptr ? Value(", ") : *bound[0]));
  return Value(joiner);
}

Result<Value> MakeCycler(Runtime& runtime, const CallArguments& arguments) {
  if (arguments.positional.empty() || !arguments.keyword.empty())
    return InvalidArgument("cycler needs items");
  ASSIGN_OR_RETURN(Cycler * cycler, runtime.MakeObject<Cycler>(arguments.positional));
  return Value(cycler);
}

constexpr NamedFunction<GlobalFunction> kGlobals[] = {
    {"range", Range},
    {"dict", MakeDict},
    {"namespace", MakeNamespace},
    {"raise_exception", RaiseException},
    {"strftime_now", StrftimeNow},
    {"joiner", MakeJoiner},
    {"cycler", MakeCycler},
};

}  // namespace

Status Namespace::Set(Runtime& runtime, std::string_view name, Value value) {
  if (name.starts_with('_')) {
    return InvalidArgument("a namespace holds no attribute that begins with an underscore, like '" +
                           std::string(name) + "'");
  }
  return SetKey(runtime, &attributes_, std::string(name), std::move(value));
}

Result<Dict> MakeGlobals(Runtime& runtime) {
  Dict globals;
  for (const auto& [name, function] : kGlobals) {
    ASSIGN_OR_RETURN(Function * made, runtime.MakeObject<Function>(runtime, std::string(name), function));
    globals.emplace_back(name, made);
  }
  return globals;
}

}  // namespace reprise::chat_template
