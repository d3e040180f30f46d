#include "models/tokenizer/json_document.h"

#include <limits>
#include <optional>

#include "models/formats/quoted.h"

namespace reprise::tokenizer {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxDepth = 64;

// Receives the parser's events; a handler that returns false ends the parse.
class DocumentBuilder final : public nlohmann::json_sax<json> {
 public:
  explicit DocumentBuilder(JsonDocument* document) : document_(document) {}

  // Empty when there is none.
  const std::string& problem() const { return problem_; }

  bool null() override { return AddScalar(nullptr); }
  bool boolean(bool value) override { return AddScalar(value); }
  bool number_integer(number_integer_t value) override { return AddInteger(value); }
  bool number_unsigned(number_unsigned_t value) override {
    constexpr auto kMax = static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max());
    return value > kMax ? AddScalar(value) : AddInteger(static_cast<std::int64_t>(value));
  }
  bool number_float(number_float_t value, const string_t&) override { return AddScalar(value); }
  bool binary(binary_t&) override { return Fail("binary value"); }  // not in JSON text

  bool string(string_t& value) override {
    if (list_ == List::kMerges) return AddMerge(value);
    if (list_ == List::kMergePair) {
      pair_.push_back(Store(value));
      return true;
    }
    return AddScalar(std::move(value));
  }

  bool key(string_t& value) override {
    key_ = std::move(value);
    if (list_ == List::kNone && open_.back()->contains(key_))
      return Fail("object has key " + Quoted(key_) + " twice");
    return true;
  }

  bool start_object(std::size_t) override {
    if (list_ != List::kNone) return FailInList();
    if (IsModelField("vocab")) {
      list_ = List::kVocabulary;
      Place(json::object());
      return true;
    }
    return Open(json::object());
  }
  bool end_object() override {
    if (list_ == List::kVocabulary) {
      list_ = List::kNone;
    } else {
      Close();
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (list_ == List::kMerges) {
      list_ = List::kMergePair;
      pair_.clear();
      return true;
    }
    if (list_ != List::kNone) return FailInList();
    if (IsModelField("merges")) {
      list_ = List::kMerges;
      Place(json::array());
      return true;
    }
    return Open(json::array());
  }
  bool end_array() override {
    if (list_ == List::kMergePair) {
      list_ = List::kMerges;
      if (pair_.size() != 2 || pair_[0].empty() || pair_[1].empty()) return FailInList();
      document_->merges.push_back({pair_[0], pair_[1]});
    } else if (list_ == List::kMerges) {
      list_ = List::kNone;
    } else {
      Close();
    }
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    const std::string_view text =
        error.what();  // "[json.exception.parse_error.101] parse error at line 1, ..."
    const std::size_t end = text.find("] ");
    return Fail(std::string(end == std::string_view::npos ? text : text.substr(end + 2)));
  }

 private:
  enum class List { kNone, kVocabulary, kMerges, kMergePair };

  bool Fail(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
    return false;
  }
  bool FailInList() {
    if (list_ == List::kVocabulary)
      return Fail("model.vocab: the id of " + Quoted(key_) + " is not an integer");
    return Fail("model.merges: merge " + std::to_string(document_->merges.size()) +
                " is not a pair of tokens: expected \"a b\" or [\"a\", \"b\"]");
  }

  // Whether the value that begins now is the field `name` of the object "model".
  bool IsModelField(std::string_view name) const {
    return open_.size() == 2 && open_keys_.back() == "model" && open_.back()->is_object() && key_ == name;
  }

  Span Store(std::string_view text) {
    document_->bytes += text;
    return {document_->bytes.size() - text.size(), document_->bytes.size()};
  }

  bool AddInteger(std::int64_t value) {
    if (list_ != List::kVocabulary) return AddScalar(value);
    document_->vocabulary.push_back({Store(key_), value});
    return true;
  }

  bool AddMerge(std::string_view text) {
    document_->merges.push_back({Store(text), {}});
    return true;
  }

  bool AddScalar(json value) {
    if (list_ != List::kNone) return FailInList();
    Place(std::move(value));
    return true;
  }

  // Puts a value where the parser stands in the tree.
  json* Place(json value) {
    if (open_.empty()) {
      document_->root = std::move(value);
      return &document_->root;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }

  bool Open(json container) {
    if (open_.size() == kMaxDepth) return Fail("is nested deeper than " + std::to_string(kMaxDepth));
    const bool in_object = !open_.empty() && open_.back()->is_object();
    open_.push_back(Place(std::move(container)));
    open_keys_.push_back(in_object ? key_ : std::string());
    return true;
  }
  void Close() {
    open_.pop_back();
    open_keys_.pop_back();
  }

  JsonDocument* document_;
  std::vector<json*> open_;             // containers under way, the root first; only the last one grows
  std::vector<std::string> open_keys_;  // and the key each is found under
  std::string key_;
  List list_ = List::kNone;
  std::vector<Span> pair_;
  std::string problem_;
};

}  // namespace

Result<JsonDocument> ParseTokenizerJson(std::string_view text) {
  JsonDocument document;
  DocumentBuilder builder(&document);
  try {
    json::sax_parse(text.begin(), text.end(), &builder);
  } catch (const json::exception& error) {
    return DataLoss(std::string("JSON ") + error.what());
  }
  if (!builder.problem().empty()) return DataLoss("JSON " + builder.problem());
  if (!document.root.is_object())
    return DataLoss("is a JSON " + std::string(document.root.type_name()) + ", expected an object");
  return document;
}

}  // namespace reprise::tokenizer
