// Steps on backends that draw tokens where the logits are: from a plan to rows of draws, and back from what
// was drawn to what the step loop wants. On other backends the Verifier does the same on the host.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/decoding/proposer.h"
#include "engine/drawn_memory.h"
#include "engine/row_draws.h"
#include "engine/token_stream.h"
#include "kernels/backend.h"
#include "scheduler/scheduler.h"

namespace reprise {

class DeviceDraws {
 public:
  // `memory`, for steps of max_rows rows of logits, outlives it and may serve several: the device reads one
  // step's tokens before it draws the next one's. RESOURCE_EXHAUSTED with the size.
  static Result<DeviceDraws> Create(Backend& backend, const DrawnMemory& memory, int max_rows,
                                    int vocab_size);

  // Starts the step, and behind it has the device draw for every row of its logits; does not wait. row_start
  // as BatchBuilder::logit_row_start, penalties per item. An item's rows are those of prompt tokens whose
  // log-probabilities are wanted, then those of its draft.
  void Start(const BatchPlan& plan, std::span<const Draft> drafts,
             std::span<const PenaltyState* const> penalties, std::span<const int> row_start,
             ConstMatrixView logits);
  // Waits for the tokens and log-probabilities, and so for the step. A device error.
  Status Wait() { return readback_->Wait(); }
  // Puts what was drafted in the place of the stand-ins. Between Wait and the next Start.
  void Resolve(std::span<Draft> drafts) const;
  // The token of row r, as the device finds it until it draws again (BatchView::drawn).
  TokenId StandIn(int row) const { return DrawnMemory::StandInFor(memory_.first_row() + row); }

  // As Verifier::Verify, from the rows of an item that follow its prompt; the last of them is end_row - 1.
  Status Accept(const Sequence& sequence, const Draft& draft, int num_rows, int end_row,
                std::vector<GeneratedToken>* accepted) const;
  // The token of a row, with the log-probabilities that were asked for. Between Wait and the next Start.
  GeneratedToken TokenOf(int row) const;

 private:
  DeviceDraws(Backend& backend, const DrawnMemory& memory, std::unique_ptr<Readback> readback, int vocab_size)
      : backend_(&backend), memory_(memory), readback_(std::move(readback)), draws_(vocab_size) {}

  void AddItem(const ScheduledSequence& item, const Draft& draft, int num_rows,
               const PenaltyState& penalties);
  // The row after a prompt token, whose log-probability is asked for.
  void AddPromptRow(const ScheduledSequence& item, int row);
  // The row after the sequence and the first `at` drafted tokens.
  void AddDraftRow(const Sequence& sequence, const Draft& draft, std::size_t at,
                   const PenaltyState& penalties);
  void AskForScores(int num_logprobs, RowDraw* row);
  // Read back: ids from `first_id_` on, then scores.
  const TokenId* read_ids() const { return reinterpret_cast<const TokenId*>(readback_->data()) - first_id_; }

  Backend* backend_;
  DrawnMemory memory_;
  std::unique_ptr<Readback> readback_;

  // Of one step.
  RowDraws draws_;
  int num_scores_ = 0;
  int first_id_ = 0;
};

}  // namespace reprise
