// The values a chat template computes with: what Python's Jinja would see as None, bool, int, float, str, list and dict.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace reprise::chat_template {

class Value;
using List = std::vector<Value>;
using Dict = std::vector<std::pair<std::string, Value>>;  // insertion order, as in Python

// Cheap to copy: containers are shared, and immutable once put into a Value by the caller.
class Value {
 public:
  Value() = default;  // None
  Value(std::nullptr_t) {}
  Value(bool v) : data_(v) {}
  Value(std::int64_t v) : data_(v) {}
  Value(int v) : data_(std::int64_t{v}) {}
  Value(double v) : data_(v) {}
  Value(std::string v) : data_(std::move(v)) {}
  Value(const char* v) : data_(std::string(v)) {}
  Value(List v) : data_(std::make_shared<List>(std::move(v))) {}
  Value(Dict v) : data_(std::make_shared<Dict>(std::move(v))) {}

  using Data = std::variant<std::monostate, bool, std::int64_t, double, std::string, std::shared_ptr<List>,
                            std::shared_ptr<Dict>>;
  const Data& data() const { return data_; }

 private:
  Data data_;
};

}  // namespace reprise::chat_template
