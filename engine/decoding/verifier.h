// Decides which drafted tokens stand, and draws the token after them.
//
// Shared noise (Gumbel-max): each row is drawn with the noise plain decoding would use at that position, and
// a drafted token stands exactly when it equals the token drawn. So the output is the same tokens as plain
// decoding, whatever the draft; with an empty draft it *is* plain decoding.
#pragma once

#include <span>
#include <vector>

#include "engine/decoding/proposer.h"
#include "engine/logits_processor.h"
#include "engine/sampler.h"
#include "engine/token_stream.h"

namespace reprise {

// Verifies one sequence. `logits` holds 1 + draft.tokens.size() rows: row j follows the last token and j
// drafted ones. Appends the accepted tokens (at least one) to `*accepted`, with log-probabilities when the
// request asks for them. INTERNAL when the model gave no finite logit. `penalties` is as before on return.
Status VerifyDraft(const Sequence& sequence, const Draft& draft, ConstMatrixView logits,
                   PenaltyState& penalties, Sampler& sampler, std::vector<GeneratedToken>* accepted);

}  // namespace reprise
