#include "models/formats/prompt_file.h"

#include <nlohmann/json.hpp>

#include "models/formats/json_lines.h"

namespace reprise {
namespace {

Result<std::string> PromptOf(const nlohmann::json& line) {
  if (const auto prompt = line.find("prompt"); prompt != line.end() && prompt->is_string()) {
    return prompt->get<std::string>();
  }
  const auto turns = line.find("turns");
  if (turns != line.end() && turns->is_array() && !turns->empty() && turns->front().is_string()) {
    return turns->front().get<std::string>();
  }
  return DataLoss("expected a text 'prompt', or a list 'turns' that begins with a text");
}

}  // namespace

Result<std::vector<std::string>> ReadPrompts(const std::string& path) {
  std::vector<std::string> prompts;
  RETURN_IF_ERROR(ForEachJsonLine(path, [&](const nlohmann::json& line) -> Status {
    ASSIGN_OR_RETURN(std::string prompt, PromptOf(line));
    prompts.push_back(std::move(prompt));
    return OkStatus();
  }));
  if (prompts.empty()) return InvalidArgument(path + " has no prompts");
  return prompts;
}

}  // namespace reprise
