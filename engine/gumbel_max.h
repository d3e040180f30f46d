// Gumbel-max sampling: the token with the largest logit / T + noise is a draw from the softmax.
#pragma once

#include <cstdint>
#include <span>

#include "base/types.h"
#include "engine/logits_processor.h"

namespace reprise {

// Over all finite logits; -1 when there is none. Exact, but noise is computed only for tokens that can still
// win. Entry i is token ids[i] (ascending), or token i when `ids` is empty: noise belongs to the token, not
// to the row.
TokenId SampleGumbel(std::span<const float> logits, float inverse_temperature, std::uint64_t stream,
                     std::span<const TokenId> ids = {});
// Over candidates, whose values have been divided by the temperature.
TokenId SampleGumbel(std::span<const Candidate> candidates, std::uint64_t stream);

}  // namespace reprise
