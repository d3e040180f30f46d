#include "engine/decoding/verifier.h"

#include "base/check.h"

namespace reprise {

Status VerifyDraft(const Sequence& sequence, const Draft& draft, ConstMatrixView logits,
                   PenaltyState& penalties, Sampler& sampler, std::vector<GeneratedToken>* accepted) {
  REPRISE_CHECK(logits.rows == 1 + static_cast<int>(draft.tokens.size()));
  const Request& request = *sequence.request;
  const std::size_t first = accepted->size();
  Status status;
  for (int row = 0; row < logits.rows; ++row) {
    const std::span<const float> values(logits.row(row), static_cast<std::size_t>(logits.columns));
    const int position = static_cast<int>(sequence.tokens.size()) + row;
    const TokenId token =
        sampler.Sample(request, penalties, values, sequence.num_generated() + row, position);
    if (token < 0) {
      status = Internal("the model produced no finite logit at position " + std::to_string(position));
      break;
    }
    if (request.sampling.num_logprobs >= 0) {
      accepted->push_back(MakeLogprobs(values, token, request.sampling.num_logprobs));
    } else {
      accepted->push_back(GeneratedToken{token, 0.0f, 0, {}});
    }
    if (row + 1 == logits.rows || draft.tokens[static_cast<std::size_t>(row)] != token) break;
    penalties.Append(token);
  }
  // All but the last accepted token were appended above, to sample what follows them.
  for (std::size_t i = first; i + 1 < accepted->size(); ++i) penalties.Remove((*accepted)[i].token);
  return status;
}

}  // namespace reprise
