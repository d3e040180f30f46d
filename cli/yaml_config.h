// Reads a flat YAML file of settings for Flags.
#pragma once

#include <map>
#include <string>

#include "base/status.h"

namespace reprise {

// Keys and values as text; a list becomes its items joined by commas. NOT_FOUND or INVALID_ARGUMENT with
// file, line and what is allowed: one mapping of scalars and lists of scalars, no key twice.
Result<std::map<std::string, std::string>> ReadYamlConfig(const std::string& path);

}  // namespace reprise
