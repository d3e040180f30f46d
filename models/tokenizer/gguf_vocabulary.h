// The vocabulary inside a GGUF file (keys tokenizer.ggml.*).
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "models/tokenizer/tokenizer.h"

namespace reprise::tokenizer {

// tokenizer.ggml.model "gpt2" (byte-level BPE) or "llama" (SentencePiece BPE). DATA_LOSS for lists that
// contradict each other, UNIMPLEMENTED for another model or pre-tokenizer; messages name the key.
Result<std::unique_ptr<Tokenizer>> LoadGgufTokenizer(const std::string& path);

}  // namespace reprise::tokenizer
