// Plain decoding: one token a pass, no drafts.
#pragma once

#include "engine/decoding/proposer.h"

namespace reprise {

class PlainProposer final : public Proposer {
 public:
  DecodingMethod method() const override { return DecodingMethod::kPlain; }
  int max_tokens() const override { return 0; }
  void Propose(const BatchPlan&, std::span<Draft>) override {}
  void Observe(const BatchPlan&, std::span<const AcceptedTokens>, const Decoder::Output&) override {}
  void Forget(RequestId) override {}
};

}  // namespace reprise
