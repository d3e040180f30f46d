#include "server/json.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/utf8.h"

namespace reprise {
namespace {

// "line 3, column 7", both from 1; columns count bytes.
std::string DescribePosition(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return "line " + std::to_string(line) + ", column " + std::to_string(before.size() - line_start + 1);
}

// nlohmann's message without its "[json.exception...] parse error at line 1, column 2: " prologue.
std::string_view Reason(std::string_view what) {
  const std::size_t column = what.find("column ");
  const std::size_t start = column == std::string_view::npos ? what.find("] ") : what.find(": ", column);
  return start == std::string_view::npos ? what : what.substr(start + 2);
}

// Builds the document and stops at the first thing that is not allowed.
class DocumentBuilder final : public nlohmann::json_sax<Json> {
 public:
  explicit DocumentBuilder(std::string_view text) : text_(text) {}

  Json TakeRoot() { return std::move(root_); }
  const std::string& error() const { return error_; }

  bool null() override { return Add(Json()); }
  bool boolean(bool value) override { return Add(Json(value)); }
  bool number_integer(std::int64_t value) override { return Add(Json(value)); }
  bool number_unsigned(std::uint64_t value) override { return Add(Json(value)); }
  bool number_float(double value, const std::string&) override { return Add(Json(value)); }
  bool string(std::string& value) override { return Add(Json(std::move(value))); }
  bool binary(Json::binary_t&) override { return false; }

  bool start_object(std::size_t) override { return Open(Json::object()); }
  bool start_array(std::size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(std::string& name) override {
    if (open_.back()->contains(name)) {
      error_ = "duplicate key '" + name + "'";
      return false;
    }
    key_ = std::move(name);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& e) override {
    error_ = "invalid JSON at " + DescribePosition(text_, position == 0 ? 0 : position - 1) + ": " +
             std::string(Reason(e.what()));
    return false;
  }

 private:
  bool Add(Json value) {
    Place(std::move(value));
    return true;
  }
  bool Open(Json container) {
    if (open_.size() >= kMaxJsonDepth) {
      error_ = "JSON is nested deeper than " + std::to_string(kMaxJsonDepth) + " levels";
      return false;
    }
    open_.push_back(Place(std::move(container)));
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }
  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) return &open_.back()->emplace_back(std::move(value));
    Json& slot = (*open_.back())[key_];
    slot = std::move(value);
    return &slot;
  }

  const std::string_view text_;
  Json root_;
  std::vector<Json*> open_;  // from the root to the innermost container; stable until that one is closed
  std::string key_;
  std::string error_;
};

}  // namespace

Result<Json> ParseJson(std::string_view text) {
  if (text.empty()) return InvalidArgument("the request body is empty; a JSON object is needed");
  if (const std::size_t offset = FindInvalidUtf8(text); offset != std::string_view::npos) {
    return InvalidArgument("the request body is not valid UTF-8 at byte " + std::to_string(offset) + " (" +
                           DescribePosition(text, offset) + ")");
  }
  DocumentBuilder builder(text);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) return InvalidArgument(builder.error());
  return builder.TakeRoot();
}

std::string_view JsonTypeName(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "a boolean";
  if (value.is_number_integer()) return "an integer";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "a string";
  return value.is_array() ? "a list" : "an object";
}

}  // namespace reprise
