// Token sequences in JSON lines, as reprise_train.generate writes them.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace reprise {

struct TokenSequence {
  std::vector<TokenId> tokens;
  int answer_start = 0;  // index of the first token that the model itself wrote; 0 when nothing says
};

// Each line is {"tokens": [...]} or {"prompt": [...], "answer": [...]}; other fields are ignored. DATA_LOSS
// with file and line for anything else, for an empty sequence, or an id outside [0, vocab_size).
Result<std::vector<TokenSequence>> ReadTokenSequences(const std::string& path, int vocab_size);

}  // namespace reprise
