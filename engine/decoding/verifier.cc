#include "engine/decoding/verifier.h"

#include <cmath>

#include "base/check.h"
#include "base/noise.h"

namespace reprise {

Verifier::Verdict Verifier::Judge(const Request& request, const PenaltyState& penalties,
                                  std::span<const float> logits, int num_generated, int position,
                                  TokenId drafted, const TokenDistribution* draft) {
  const VerificationRule rule = RuleFor(request);
  if (rule == VerificationRule::kSharedNoise) {
    const TokenId token = sampler_.Sample(request, penalties, logits, num_generated, position);
    return {token, token == drafted};
  }
  if (NeedsAdjustment(request, num_generated)) {
    adjusted_.assign(logits.begin(), logits.end());
    AdjustLogits(request, penalties, num_generated, adjusted_);
    logits = adjusted_;
  }
  if (rule == VerificationRule::kThreshold) {
    const TokenId best = ArgMax(logits);
    if (best < 0) return {};
    const float gap = logits[static_cast<std::size_t>(drafted)] - logits[static_cast<std::size_t>(best)];
    if (gap >= std::log(request.lenience) && gap > -INFINITY) return {drafted, true};
    return {best, false};
  }
  const SamplingParams& params = request.sampling;
  if (!target_.Assign(params, logits)) return {};
  const auto stream = [&](NoiseKind kind) {
    return NoiseStream({params.seed, request.choice, static_cast<std::uint32_t>(position), kind});
  };
  const double p = target_.Probability(drafted);
  const double bound = request.lenience < 1.0f ? std::pow(p, static_cast<double>(request.lenience)) : p;
  // u < min(1, f(p) / q), without the division.
  if (p > 0 && UniformNoise(stream(NoiseKind::kAccept)) * draft->Probability(drafted) < bound) {
    return {drafted, true};
  }
  return {target_.SampleResidual(*draft, stream(NoiseKind::kSample)), false};
}

Status Verifier::Verify(const Sequence& sequence, const Draft& draft, ConstMatrixView logits,
                        PenaltyState& penalties, std::vector<GeneratedToken>* accepted) {
  const auto num_drafted = static_cast<int>(draft.tokens.size());
  REPRISE_CHECK(logits.rows == 1 + num_drafted || (draft.unverified && logits.rows == 1));
  const Request& request = *sequence.request;
  const int num_logprobs = request.sampling.num_logprobs;
  const std::size_t first = accepted->size();
  Status status;
  for (int i = 0; i <= num_drafted; ++i) {
    // The rows that are there are the last ones.
    const int row = i - num_drafted + logits.rows - 1;
    const std::span<const float> values =
        row < 0 ? std::span<const float>()
                : std::span(logits.row(row), static_cast<std::size_t>(logits.columns));
    const int position = static_cast<int>(sequence.tokens.size()) + i;
    const int num_generated = sequence.num_generated() + i;
    Verdict verdict;
    if (i == num_drafted) {
      verdict.token = sampler_.Sample(request, penalties, values, num_generated, position);
    } else if (draft.unverified) {
      verdict = {draft.tokens[static_cast<std::size_t>(i)], true};
    } else {
      const auto at = static_cast<std::size_t>(i);
      verdict = Judge(request, penalties, values, num_generated, position, draft.tokens[at],
                      at < draft.distributions.size() ? &draft.distributions[at] : nullptr);
    }
    if (verdict.token < 0) {
      status = NoFiniteLogit(position);
      break;
    }
    accepted->push_back(num_logprobs >= 0 && row >= 0 ? MakeLogprobs(values, verdict.token, num_logprobs)
                                                      : GeneratedToken{verdict.token, 0.0f, 0, {}});
    if (!verdict.stands) break;
    penalties.Append(verdict.token);
  }
  // All but the last accepted token were appended above, to judge what follows them.
  for (std::size_t i = first; i + 1 < accepted->size(); ++i) penalties.Remove((*accepted)[i].token);
  return status;
}

}  // namespace reprise
