// Text out of a file, as calibration and training read it.
#pragma once

#include <string>

#include "base/status.h"

namespace reprise {

// A UTF-8 text file whole; of a .jsonl file, each line's string values (those of nested lists and objects
// too) one below the other, and an empty line between two lines' texts. Errors name the file and the line;
// INVALID_ARGUMENT when there is no text in it.
Result<std::string> ReadTextCorpus(const std::string& path);

}  // namespace reprise
