#include "models/formats/json_lines.h"

#include <string_view>

#include "base/mapped_file.h"
#include "models/formats/json_file.h"

namespace reprise {
namespace {

Status ReadLine(std::string_view text, const std::function<Status(const nlohmann::json&)>& read) {
  ASSIGN_OR_RETURN(const nlohmann::json line, ParseJsonText(text));
  if (!line.is_object()) return DataLoss("expected a JSON object");
  return read(line);
}

}  // namespace

Status ForEachJsonLine(const std::string& path, const std::function<Status(const nlohmann::json&)>& read) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  std::string_view rest(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  for (int number = 1; !rest.empty(); ++number) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (line.empty()) continue;
    const Status status = ReadLine(line, read);
    if (!status.ok()) return DataLoss(path + ":" + std::to_string(number) + ": " + status.message());
  }
  return OkStatus();
}

}  // namespace reprise
