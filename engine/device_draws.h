// Steps whose tokens the backend's device can draw itself, with the same noise, so that only token ids come
// back and no logits.
#pragma once

#include <span>
#include <vector>

#include "base/status.h"
#include "engine/decoding/proposer.h"
#include "engine/token_stream.h"
#include "kernels/backend.h"
#include "scheduler/scheduler.h"

namespace reprise {

class DeviceDraws {
 public:
  // Has the device draw for every row of the step's logits; row_start as BatchBuilder::logit_row_start.
  // False, and nothing drawn, when the backend leaves that to the host or some request needs its logits
  // there: for filters, penalties, bias, log-probabilities, or a rule that weighs probabilities. Tokens are
  // there after Synchronize.
  bool Draw(const BatchPlan& plan, std::span<const Draft> drafts, std::span<const int> row_start,
            Backend& backend, ConstMatrixView logits);

  // As Verifier::Verify, from what was drawn for the item's rows, the first of which is `first_row`: drafted
  // tokens stand as long as they are the drawn ones, and the first that is not replaces the rest.
  Status Accept(const Sequence& sequence, const Draft& draft, int first_row,
                std::vector<GeneratedToken>* accepted) const;

 private:
  std::vector<DrawSpec> specs_;
  std::vector<TokenId> tokens_;
};

}  // namespace reprise
