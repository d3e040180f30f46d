#include "engine/device_draws.h"

#include <string>

#include "base/noise.h"
#include "engine/decoding/rule.h"
#include "engine/logits_processor.h"

namespace reprise {
namespace {

// Whether the argmax of logits, or of logits and noise, is all that `item` wants of its rows.
bool NeedsOnlyDraws(const ScheduledSequence& item, const Draft& draft) {
  const Request& request = *item.sequence->request;
  const SamplingParams& sampling = request.sampling;
  if (request.prompt_logprobs >= 0 || sampling.num_logprobs >= 0) return false;
  if (NeedsAdjustment(request, item.sequence->num_generated())) return false;
  const bool filtered = sampling.top_k > 0 || sampling.top_p < 1.0f || sampling.min_p > 0.0f;
  if (filtered && sampling.temperature > 0.0f) return false;
  return draft.tokens.empty() || (!draft.unverified && RuleFor(request) == VerificationRule::kSharedNoise);
}

DrawSpec SpecOf(const Request& request, int position) {
  const SamplingParams& sampling = request.sampling;
  if (sampling.temperature <= 0.0f) return {};
  return {
      NoiseStream({sampling.seed, request.choice, static_cast<std::uint32_t>(position), NoiseKind::kSample}),
      1.0f / sampling.temperature};
}

}  // namespace

bool DeviceDraws::Draw(const BatchPlan& plan, std::span<const Draft> drafts, std::span<const int> row_start,
                       Backend& backend, ConstMatrixView logits) {
  if (logits.rows == 0) return false;
  specs_.assign(static_cast<std::size_t>(logits.rows), DrawSpec());
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    const ScheduledSequence& item = plan.items[i];
    if (row_start[i] == row_start[i + 1]) continue;
    if (!NeedsOnlyDraws(item, drafts[i])) return false;
    const int rows = row_start[i + 1] - row_start[i];
    const int first = static_cast<int>(item.sequence->tokens.size() + drafts[i].tokens.size()) + 1 - rows;
    for (int r = 0; r < rows; ++r)
      specs_[static_cast<std::size_t>(row_start[i] + r)] = SpecOf(*item.sequence->request, first + r);
  }
  tokens_.assign(specs_.size(), -1);
  return backend.DrawRows(logits, specs_, tokens_);
}

Status DeviceDraws::Accept(const Sequence& sequence, const Draft& draft, int first_row,
                           std::vector<GeneratedToken>* accepted) const {
  for (std::size_t i = 0; i <= draft.tokens.size(); ++i) {
    const TokenId token = tokens_[static_cast<std::size_t>(first_row) + i];
    if (token < 0) {
      return Internal("the model produced no finite logit at position " +
                      std::to_string(sequence.tokens.size() + i));
    }
    accepted->push_back({token, 0.0f, 0, {}});
    if (i < draft.tokens.size() && token != draft.tokens[i]) break;
  }
  return OkStatus();
}

}  // namespace reprise
