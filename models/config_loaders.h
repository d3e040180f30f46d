// The two sources of a ModelConfig; LoadModelConfig chooses. Errors as there.
#pragma once

#include <string>

#include "base/status.h"
#include "models/config.h"
#include "models/formats/gguf.h"
#include "models/json_fields.h"

namespace reprise {

// `path` is config.json itself. Field semantics: Hugging Face transformers' configuration classes.
Result<ModelConfig> ReadHuggingFaceConfig(const std::string& path);

// The fields of a config.json that are about layers and vocabulary, whatever class it names: also those of
// drafts that share their target's vocabulary matrices, and of recycle modules.
Result<ModelConfig> ReadHuggingFaceFields(const JsonFields& fields, Architecture architecture);

// By "model_type" alone.
Result<Architecture> ReadModelType(const JsonFields& fields);

// Key semantics: docs/gguf.md of github.com/ggml-org/ggml, and llama.cpp's defaults for keys left out.
Result<ModelConfig> ReadGgufConfig(const GgufFile& file);

}  // namespace reprise
