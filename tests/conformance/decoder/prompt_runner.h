// A decoder's logits for one prompt, without an engine.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "models/decoder.h"

namespace reprise {

// One step: its logits.
using ForwardStep = std::function<ConstMatrixView(const BatchView&, std::span<const KvLayer>)>;

// As RunPrompt, for anything with `num_layers` layers of keys and values of such a shape.
std::vector<float> RunSteps(const ForwardStep& forward, KvGeometry geometry, int num_layers, Backend& backend,
                            const std::vector<TokenId>& tokens, int rows, int chunk);

// Runs the prompt in chunks of `chunk` tokens over a scattered, poisoned cache; logits of the last `rows`
// positions, [rows, vocabulary]. The decoder has reserved room for a chunk.
std::vector<float> RunPrompt(Decoder& decoder, Backend& backend, const std::vector<TokenId>& tokens, int rows,
                             int chunk, KvType type);

// Logits of every position of `tokens` by the model at `path`, [tokens, vocabulary], computed in chunks of
// `chunk` tokens or (0) at once; fails the test that asks when the model cannot be loaded.
std::vector<float> ModelLogits(const std::string& path, Backend& backend, const std::vector<TokenId>& tokens,
                               int chunk = 0);

// Infinite when one of the two has a NaN. Fails the test that asks when the sizes differ.
double LargestDifference(const std::vector<float>& a, const std::vector<float>& b);
// Root mean square of the difference, as a share of that of `a`.
double RelativeDifference(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace reprise
