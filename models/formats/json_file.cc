#include "models/formats/json_file.h"

#include <set>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "base/utf8.h"
#include "models/formats/quoted.h"

namespace reprise {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 64;  // serialising and copying a json recurse

// What nlohmann accepts and we do not: of two equal keys the last would win silently (readers that disagree
// about which one counts are an old way to smuggle), and nesting has no limit.
class StructureChecker {
 public:
  void Observe(int depth, json::parse_event_t event, const json& value) {
    if (depth > kMaxDepth && problem_.empty())
      problem_ = "is nested deeper than " + std::to_string(kMaxDepth);
    if (event == json::parse_event_t::object_start) open_objects_.emplace_back();
    if (event == json::parse_event_t::object_end) open_objects_.pop_back();
    if (event == json::parse_event_t::key && problem_.empty()) {
      const auto& key = value.get_ref<const std::string&>();
      if (!open_objects_.back().insert(key).second) problem_ = "object has key " + Quoted(key) + " twice";
    }
  }
  // Empty when there is none.
  const std::string& problem() const { return problem_; }

 private:
  std::vector<std::set<std::string>> open_objects_;
  std::string problem_;
};

// "[json.exception.parse_error.101] parse error at line 1, ..." without the bracket. nlohmann quotes the
// file's bytes, which may be many and not UTF-8.
std::string Explain(const json::exception& error) {
  constexpr std::size_t kMaxBytes = 300;
  const std::string_view text = error.what();
  const std::size_t end = text.find("] ");
  const std::string_view reason = end == std::string_view::npos ? text : text.substr(end + 2);
  return SanitizeUtf8(reason.substr(0, kMaxBytes));
}

}  // namespace

Result<json> ParseJsonText(std::string_view text) {
  StructureChecker checker;
  json value;
  try {
    value =
        json::parse(text.begin(), text.end(), [&checker](int depth, json::parse_event_t event, json& parsed) {
          checker.Observe(depth, event, parsed);
          return true;
        });
  } catch (const json::exception& error) {
    return DataLoss("JSON " + Explain(error));
  }
  if (!checker.problem().empty()) return DataLoss("JSON " + checker.problem());
  return value;
}

Result<json> ReadJsonObject(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  Result<json> value = ParseJsonText(text);
  if (!value.ok()) return Status(value.status().code(), path + ": " + value.status().message());
  if (!value->is_object())
    return DataLoss(path + ": is a JSON " + value->type_name() + ", expected an object");
  return value;
}

}  // namespace reprise
