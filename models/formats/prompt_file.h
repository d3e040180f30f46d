// Prompts in JSON lines, as question sets such as MT-Bench are kept.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace reprise {

// Each line has a text "prompt", or "turns" of which the first is taken; other fields are ignored. DATA_LOSS
// with file and line for anything else; INVALID_ARGUMENT when there is no prompt at all.
Result<std::vector<std::string>> ReadPrompts(const std::string& path);

}  // namespace reprise
