// A model's tokenizer as metadata of a GGUF file.
#pragma once

#include <string>

#include "base/status.h"
#include "models/formats/gguf.h"
#include "models/tokenizer/tokenizer_config.h"

namespace reprise::tokenizer {

// A tokenizer.json whole (docs/gguf.md of github.com/ggml-org/ggml). What the files beside it say is under
// keys reprise.tokenizer.*, the chat template under tokenizer.chat_template.
inline constexpr char kEmbeddedTokenizerKey[] = "tokenizer.huggingface.json";

// The metadata that makes a GGUF file tokenize as the model at `path` (a GGUF file, or a directory with
// tokenizer.json or tokenizer.gguf) does: of a GGUF file its own keys, else tokenizer.json whole.
Result<GgufFile::Metadata> TokenizerMetadata(const std::string& path);

// What TokenizerMetadata wrote beside the embedded tokenizer.json.
TokenizerConfig EmbeddedTokenizerConfig(const GgufFile& file);

}  // namespace reprise::tokenizer
