// ToJson: Python's json.dumps() for values.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "base/utf8.h"
#include "models/chat_template/formatting.h"
#include "models/chat_template/operators.h"

namespace reprise::chat_template {
namespace {

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  Status Write(const Value& value);
  std::string Take() { return std::move(out_); }

 private:
  Status Append(std::string_view text);
  Status WriteText(std::string_view text);
  void Escape(char32_t c, std::string_view original, std::string* out) const;
  Status WriteSequence(const List& items);
  Status WriteMapping(const Entries& items);
  Status WriteKey(const Value& key);
  Status BreakLine();

  Runtime& runtime_;
  const JsonStyle& style_;
  std::string out_;
  std::size_t level_ = 0;
};

Status JsonWriter::Append(std::string_view text) {
  RETURN_IF_ERROR(runtime_.budget().Produce(text.size()));
  out_.append(text);
  return OkStatus();
}

// Recursion is as deep as the value, which the runtime has bounded.
Status JsonWriter::Write(const Value& value) {
  RETURN_IF_ERROR(runtime_.budget().Step());
  if (value.IsNone()) return Append("null");
  if (const bool* v = value.AsBool()) return Append(*v ? "true" : "false");
  if (const std::int64_t* v = value.AsInt()) return Append(std::to_string(*v));
  if (const double* v = value.AsFloat()) {
    if (std::isnan(*v)) return Append("NaN");
    if (std::isinf(*v)) return Append(*v < 0 ? "-Infinity" : "Infinity");
    return Append(FormatFloat(*v));
  }
  if (const std::string* v = value.AsString()) return WriteText(*v);
  if (const Mapping* v = value.AsMapping()) return WriteMapping(v->items);
  const Sequence* sequence = value.AsSequence();
  if (sequence != nullptr &&
      (sequence->kind == SequenceKind::kList || sequence->kind == SequenceKind::kTuple)) {
    return WriteSequence(sequence->items);
  }
  return InvalidArgument("'" + TypeName(value) + "' cannot be written as JSON");
}

void JsonWriter::Escape(char32_t c, std::string_view original, std::string* out) const {
  static constexpr std::string_view kShort = "\"\\\b\f\n\r\t";
  static constexpr std::string_view kLetters = "\"\\bfnrt";
  const std::size_t known = c < 0x80 ? kShort.find(static_cast<char>(c)) : std::string_view::npos;
  if (known != std::string_view::npos) {
    *out += '\\';
    *out += kLetters[known];
    return;
  }
  const auto append_unit = [out](char32_t unit) {
    char buffer[8];
    std::snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned>(unit & 0xFFFF));
    *out += buffer;
  };
  if (c < 0x20 || (style_.ensure_ascii && c > 0x7E && c < 0x10000)) {
    append_unit(c);
  } else if (style_.ensure_ascii && c >= 0x10000) {
    append_unit(0xD800 + ((c - 0x10000) >> 10));
    append_unit(0xDC00 + ((c - 0x10000) & 0x3FF));
  } else {
    *out += original;
  }
}

Status JsonWriter::WriteText(std::string_view text) {
  RETURN_IF_ERROR(runtime_.budget().Produce(text.size()));
  std::string quoted = "\"";
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t begin = offset;
    const char32_t c = DecodeUtf8(text, &offset);
    Escape(c, text.substr(begin, offset - begin), &quoted);
  }
  return Append(quoted + "\"");
}

Status JsonWriter::BreakLine() {
  if (!style_.is_indented) return OkStatus();
  RETURN_IF_ERROR(Append("\n"));
  for (std::size_t i = 0; i < level_; ++i) RETURN_IF_ERROR(Append(style_.indent));
  return OkStatus();
}

Status JsonWriter::WriteSequence(const List& items) {
  if (items.empty()) return Append("[]");
  RETURN_IF_ERROR(Append("["));
  ++level_;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) RETURN_IF_ERROR(Append(style_.item_separator));
    RETURN_IF_ERROR(BreakLine());
    RETURN_IF_ERROR(Write(items[i]));
  }
  --level_;
  RETURN_IF_ERROR(BreakLine());
  return Append("]");
}

// JSON knows only strings as keys: Python writes the others as strings.
Status JsonWriter::WriteKey(const Value& key) {
  if (key.AsString() != nullptr) return WriteText(*key.AsString());
  if (!key.IsNone() && !NumberOf(key))
    return InvalidArgument("'" + TypeName(key) + "' cannot be a key of JSON");
  RETURN_IF_ERROR(Append("\""));
  RETURN_IF_ERROR(Write(key));
  return Append("\"");
}

Status JsonWriter::WriteMapping(const Entries& items) {
  if (items.empty()) return Append("{}");
  RETURN_IF_ERROR(runtime_.budget().Step(items.size()));
  std::vector<const Entries::value_type*> order;
  for (const auto& item : items) {
    if (style_.sort_keys && item.first.AsString() == nullptr) {
      return InvalidArgument("only keys that are strings can be sorted");
    }
    order.push_back(&item);
  }
  if (style_.sort_keys) {
    std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
      return *a->first.AsString() < *b->first.AsString();
    });
  }
  RETURN_IF_ERROR(Append("{"));
  ++level_;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i > 0) RETURN_IF_ERROR(Append(style_.item_separator));
    RETURN_IF_ERROR(BreakLine());
    RETURN_IF_ERROR(WriteKey(order[i]->first));
    RETURN_IF_ERROR(Append(style_.key_separator));
    RETURN_IF_ERROR(Write(order[i]->second));
  }
  --level_;
  RETURN_IF_ERROR(BreakLine());
  return Append("}");
}

}  // namespace

Result<std::string> ToJson(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  RETURN_IF_ERROR(writer.Write(value));
  return writer.Take();
}

}  // namespace reprise::chat_template
