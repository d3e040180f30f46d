// The metadata of a GGUF file that holds a model of ours: the inverse of ReadGgufConfig.
#pragma once

#include <string>
#include <vector>

#include "models/config.h"
#include "models/formats/gguf.h"

namespace reprise {

// Keys of docs/gguf.md (github.com/ggml-org/ggml); "reprise.sliced.widths" (in, mid, out of each layer) and
// "reprise.sliced.norm_dim" of a sliced model. No tokenizer. `name` is for people.
GgufFile::Metadata ModelMetadata(const ModelConfig& config, const std::string& name);

// What each rotary frequency is divided by, [rotary_dim / 2], for scalings that GGUF has no keys for: the
// tensor rope_freqs.weight. Empty where there is nothing to divide.
std::vector<float> RopeFrequencyDivisors(const ModelConfig& config);

// Whether ReadGgufConfig takes the rows of q and k to be permuted in such a file.
bool GgufPermutesHeads(const ModelConfig& config);

}  // namespace reprise
