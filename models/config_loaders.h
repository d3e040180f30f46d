// The two sources of a ModelConfig; LoadModelConfig chooses. Errors as there.
#pragma once

#include <string>

#include "base/status.h"
#include "models/config.h"
#include "models/formats/gguf.h"

namespace reprise {

// `path` is config.json itself. Field semantics: Hugging Face transformers' configuration classes.
Result<ModelConfig> ReadHuggingFaceConfig(const std::string& path);

// Key semantics: docs/gguf.md of github.com/ggml-org/ggml, and llama.cpp's defaults for keys left out.
Result<ModelConfig> ReadGgufConfig(const GgufFile& file);

}  // namespace reprise
