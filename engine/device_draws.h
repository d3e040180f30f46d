// Steps on backends that draw tokens where the logits are: from a plan to rows of draws, and back from what
// was drawn to what the step loop wants. On other backends the Verifier does the same on the host.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/decoding/proposer.h"
#include "engine/row_draws.h"
#include "engine/token_stream.h"
#include "kernels/backend.h"
#include "scheduler/scheduler.h"

namespace reprise {

class DeviceDraws {
 public:
  // What the device needs for steps of at most `max_rows` rows of logits.
  static std::size_t DeviceBytes(int max_rows);
  // `device`, of DeviceBytes, may serve several: the device reads one step's tokens before it draws the next
  // one's. RESOURCE_EXHAUSTED with the size.
  static Result<DeviceDraws> Create(Backend& backend, std::shared_ptr<DeviceMemory> device, int vocab_size);

  // Starts the step, and behind it has the device draw for every row of its logits; does not wait. row_start
  // as BatchBuilder::logit_row_start, penalties per item. An item's rows are those of prompt tokens whose
  // log-probabilities are wanted, then those of its draft. Penalties are as before on return.
  void Start(const BatchPlan& plan, std::span<const Draft> drafts, std::span<PenaltyState* const> penalties,
             std::span<const int> row_start, ConstMatrixView logits);
  // Waits for the tokens and log-probabilities, and so for the step. A device error.
  Status Wait() { return readback_->Wait(); }
  // Where the device finds the token of row r, as BatchView::drawn, until it draws again.
  const TokenId* drawn() const { return static_cast<const TokenId*>(device_->data()); }

  // As Verifier::Verify, from the rows of an item that follow its prompt; the last of them is end_row - 1.
  Status Accept(const Sequence& sequence, const Draft& draft, int num_rows, int end_row,
                std::vector<GeneratedToken>* accepted) const;
  // The token of a row, with the log-probabilities that were asked for. Between Wait and the next Start.
  GeneratedToken TokenOf(int row) const;

 private:
  DeviceDraws(Backend& backend, std::shared_ptr<DeviceMemory> device, std::unique_ptr<Readback> readback,
              int vocab_size)
      : backend_(&backend), device_(std::move(device)), readback_(std::move(readback)), draws_(vocab_size) {}

  void AddItem(const ScheduledSequence& item, const Draft& draft, int num_rows, PenaltyState& penalties);
  // The row after a prompt token, whose log-probability is asked for.
  void AddPromptRow(const ScheduledSequence& item, int row);
  // The row after the sequence and the first `at` drafted tokens, which `penalties` includes.
  void AddDraftRow(const Sequence& sequence, const Draft& draft, std::size_t at,
                   const PenaltyState& penalties);
  void AskForScores(int num_logprobs, RowDraw* row);

  Backend* backend_;
  std::shared_ptr<DeviceMemory> device_;  // tokens, then scores of a step
  std::unique_ptr<Readback> readback_;    // the same

  // Of one step.
  RowDraws draws_;
  int num_scores_ = 0;
};

}  // namespace reprise
