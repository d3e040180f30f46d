#include "models/formats/text_corpus.h"

#include <cctype>
#include <string_view>

#include "base/mapped_file.h"
#include "base/utf8.h"
#include "models/formats/json_file.h"

namespace reprise {
namespace {

void AppendStrings(const nlohmann::json& value, std::string* text) {
  if (value.is_string()) {
    *text += value.get_ref<const std::string&>() + "\n";
  } else if (value.is_structured()) {
    for (const nlohmann::json& element : value) AppendStrings(element, text);
  }
}

Result<std::string> TextOfLines(std::string_view lines, const std::string& path) {
  std::string text;
  for (int number = 1; !lines.empty(); ++number) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Result<nlohmann::json> value = ParseJsonText(line);
    if (!value.ok()) {
      return DataLoss(path + ", line " + std::to_string(number) + ": " + value.status().message());
    }
    if (!text.empty()) text += "\n";
    AppendStrings(*value, &text);
  }
  return text;
}

}  // namespace

Result<std::string> ReadTextCorpus(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  std::string text(bytes);
  if (path.ends_with(".jsonl")) {
    ASSIGN_OR_RETURN(text, TextOfLines(bytes, path));
  }
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    return InvalidArgument(path + " holds no text");
  }
  return text;
}

}  // namespace reprise
