// tokenizer.json, the file of the Hugging Face `tokenizers` library, and the files beside it.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "models/formats/gguf.h"
#include "models/tokenizer/tokenizer.h"

namespace reprise::tokenizer {

// tokenizer_config.json, special_tokens_map.json and chat_template.jinja in the same folder are read if
// there. Errors name the file and the field: NOT_FOUND, DATA_LOSS, INVALID_ARGUMENT (a field of the wrong
// type), or UNIMPLEMENTED.
Result<std::unique_ptr<Tokenizer>> LoadTokenizerJson(const std::string& path);

// The same from a GGUF file that holds a tokenizer.json whole (embedded_tokenizer.h).
Result<std::unique_ptr<Tokenizer>> LoadEmbeddedTokenizer(const GgufFile& file);

}  // namespace reprise::tokenizer
