// How a request's drafted tokens are drawn and judged; chosen once per request from its sampling and
// lenience.
#pragma once

#include <cstdint>

#include "scheduler/request.h"

namespace reprise {

enum class VerificationRule : std::uint8_t {
  // Target and draft draw with the same noise; a drafted token stands iff the target draws it too. Greedy and
  // seeded requests: the output is plain decoding's, token for token.
  kSharedNoise,
  // Accept x with min(1, p(x)^lenience / q(x)), else draw from norm(max(0, p - q)) (Leviathan et al.
  // 2211.17192; the exponent is DistillSpec's f_exp, 2310.08461 section 5.3). The law of plain sampling when
  // lenience is 1.
  kRejection,
  // Greedy with lenience below 1: x stands iff p(x) >= lenience * max p.
  kThreshold,
};

inline VerificationRule RuleFor(const Request& request) {
  const bool greedy = request.sampling.temperature <= 0.0f;
  if (request.lenience < 1.0f) return greedy ? VerificationRule::kThreshold : VerificationRule::kRejection;
  return greedy || request.sampling.seeded ? VerificationRule::kSharedNoise : VerificationRule::kRejection;
}

}  // namespace reprise
