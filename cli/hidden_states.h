// Final hidden states of whole token sequences, computed by the served weights.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/kv_cache.h"
#include "models/model.h"

namespace reprise {

// Runs sequences through the decoder, several to a step, each wholly within one. One thread.
class HiddenStates {
 public:
  // Steps take up to `step_tokens` tokens, which bounds the length of a sequence. `backend` and `decoder`
  // outlive this. RESOURCE_EXHAUSTED for what does not fit into memory.
  static Result<HiddenStates> Create(Backend& backend, Decoder& decoder, int step_tokens);

  // How many of the first of `sequences` one step can take: at least one, as long as none exceeds
  // step_tokens. Requires a sequence.
  std::size_t Fitting(std::span<const std::span<const TokenId>> sequences) const;

  // [T, D] for the tokens of all `sequences` one behind the other: after the final norm, what the head
  // reads. Requires that they fit. Valid until the next call. UNAVAILABLE or INTERNAL when the device fails,
  // or the states are not finite.
  Result<std::span<const float>> Compute(std::span<const std::span<const TokenId>> sequences);

 private:
  HiddenStates(Backend& backend, Decoder& decoder, int step_tokens, KvCache cache)
      : backend_(&backend), decoder_(&decoder), step_tokens_(step_tokens), cache_(std::move(cache)) {}

  Backend* backend_;
  Decoder* decoder_;
  int step_tokens_;
  KvCache cache_;
  std::vector<float> hidden_;
};

}  // namespace reprise
