// The parts that a tokenizer.json is composed of: objects with a "type", possibly in nested lists of type
// "Sequence".
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/status.h"
#include "models/json_fields.h"
#include "models/tokenizer/regex.h"

namespace reprise::tokenizer {

struct Component {
  const nlohmann::json& value;
  JsonFields fields;
  std::string type;
  std::string path;  // "pre_tokenizer.pretokenizers[1]", for messages
};

// Calls `visit` for each component below `root[name]` that is not a Sequence, in order; not at all when it is
// absent or null. `list` is the Sequence's field. The first error ends it.
Status ForEachComponent(const nlohmann::json& root, const std::string& name, const std::string& list,
                        const std::function<Status(const Component&)>& visit);

// {"String": "..."} or {"Regex": "..."}, under "pattern".
struct Pattern {
  Regex regex;
  bool is_literal = false;
  std::string text;
};
Result<Pattern> ParsePattern(const Component& component);

// A string that has to be there.
Result<std::string> RequiredString(const Component& component, std::string_view name);
// One that is a single character.
Result<std::string> RequiredCharacter(const Component& component, std::string_view name);

bool IsOneCharacter(std::string_view text);

}  // namespace reprise::tokenizer
