// A decoder's logits for one prompt, without an engine.
#pragma once

#include <vector>

#include "kernels/backend.h"
#include "models/decoder.h"

namespace reprise {

// Runs the prompt in chunks of `chunk` tokens over a scattered, poisoned cache; logits of the last `rows`
// positions, [rows, vocabulary]. The decoder has reserved room for a chunk.
std::vector<float> RunPrompt(Decoder& decoder, Backend& backend, const std::vector<TokenId>& tokens, int rows,
                             int chunk, KvType type);

}  // namespace reprise
