// The token sequences that slicing measures the model's signals on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "models/tokenizer/tokenizer.h"

namespace reprise::compress {

constexpr int kUsualCalibrationLength = 2048;

struct CalibrationSpec {
  std::string path;   // text, or .jsonl (ReadTextCorpus)
  int samples = 128;  // sequences
  int length = 0;     // tokens of each; 0: the usual length, or the model's context if that is shorter
  std::uint64_t seed = 42;
};

// The text is tokenised once and cut into windows; `samples` of them are drawn without replacement, and keep
// their order. INVALID_ARGUMENT with both numbers when the text has too few.
Result<std::vector<std::vector<TokenId>>> CalibrationSequences(const Tokenizer& tokenizer,
                                                               const CalibrationSpec& spec);

}  // namespace reprise::compress
