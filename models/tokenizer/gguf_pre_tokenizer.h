// The pre-tokenizers that GGUF files know by name (tokenizer.ggml.pre).
#pragma once

#include <string_view>

#include "base/status.h"
#include "models/tokenizer/pre_tokenizer.h"

namespace reprise::tokenizer {

struct GgufPreTokenizer {
  PreTokenizerList stages;     // the regular expressions in order, then the spelling of bytes
  bool ignore_merges = false;  // a piece that is a token needs no merges
  bool add_bos = false;        // unless the file says otherwise
};

// UNIMPLEMENTED, with the names that are known, for another name.
Result<GgufPreTokenizer> MakeGgufPreTokenizer(std::string_view name);

}  // namespace reprise::tokenizer
