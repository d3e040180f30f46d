#include "cli/yaml_config.h"

#include <yaml-cpp/yaml.h>

#include "base/mapped_file.h"

namespace reprise {
namespace {

std::string Where(const std::string& path, const YAML::Mark& mark) {
  return mark.is_null() ? path : path + ", line " + std::to_string(mark.line + 1);
}

Result<std::string> ScalarText(const std::string& path, const std::string& key, const YAML::Node& node) {
  if (node.IsScalar()) return node.Scalar();
  if (node.IsNull()) return std::string();
  if (!node.IsSequence()) {
    return InvalidArgument(Where(path, node.Mark()) + ": '" + key +
                           "' must be a single value or a list of them");
  }
  std::string text;
  for (const YAML::Node& item : node) {
    if (!item.IsScalar()) {
      return InvalidArgument(Where(path, item.Mark()) + ": the items of '" + key + "' must be single values");
    }
    text += (text.empty() ? "" : ",") + item.Scalar();
  }
  return text;
}

}  // namespace

Result<std::map<std::string, std::string>> ReadYamlConfig(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  std::map<std::string, std::string> values;
  try {
    const YAML::Node root =
        YAML::Load(std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()));
    if (root.IsNull()) return values;
    if (!root.IsMap()) return InvalidArgument(path + ": expected one 'key: value' a line");
    for (const auto& entry : root) {
      if (!entry.first.IsScalar())
        return InvalidArgument(Where(path, entry.first.Mark()) + ": keys must be plain words");
      const std::string key = entry.first.Scalar();
      ASSIGN_OR_RETURN(std::string text, ScalarText(path, key, entry.second));
      if (entry.second.IsNull()) continue;  // "key:" without a value leaves the default
      if (!values.emplace(key, std::move(text)).second) {
        return InvalidArgument(Where(path, entry.first.Mark()) + ": '" + key + "' is there twice");
      }
    }
  } catch (const YAML::Exception& error) {
    return InvalidArgument(Where(path, error.mark) + ": " + error.msg);
  }
  return values;
}

}  // namespace reprise
