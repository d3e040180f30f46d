// Draws a proposer's tokens. Where the backend draws, they stay on the device: the next step of the
// proposer's model reads them there, and so do the target's pass and the draws that judge them; the host
// learns of them with the step's results. Elsewhere the host draws.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/decoding/draft_sampler.h"
#include "engine/decoding/proposer.h"
#include "engine/row_draws.h"
#include "kernels/backend.h"

namespace reprise {

// What proposers with a model of their own are sized for.
struct DraftLimits {
  int vocab_size = 0;  // the target's
  int block_size = 16;
  int max_batch_tokens = 0;
  int max_sequences = 0;
  int max_drafts = 0;  // tokens drafted in one step, over all sequences
  // Device, where the backend draws tokens: the ids that stand-ins are rows of, and from which row on there
  // are max_drafts for this proposer.
  TokenId* drawn = nullptr;
  int first_drawn = 0;
};

class DraftDraws {
 public:
  // Rows of logits have `num_columns` entries; entry i scores head_tokens[i] (ascending; outlives this), or
  // token i when that is empty. RESOURCE_EXHAUSTED with the size.
  static Result<DraftDraws> Create(Backend& backend, std::span<const TokenId> head_tokens, int num_columns,
                                   const DraftLimits& limits);

  // A step's drafts begin.
  void Begin() { num_drawn_ = 0; }
  // Appends to the draft of requests[i] a token drawn from row i of `logits`; where the backend draws, a
  // stand-in for it. Leaves in `unfinished`, ascending, the i whose draft shall go on.
  void Draw(std::span<const DraftRequest* const> requests, ConstMatrixView logits,
            std::vector<int>* unfinished);
  const TokenId* drawn() const { return drawn_; }
  // The drafts are complete.
  void Finish(std::span<const DraftRequest> requests);
  // As Proposer::end_of_drafts.
  Readback* end() const { return end_.get(); }

 private:
  DraftDraws(Backend& backend, std::span<const TokenId> head_tokens, int num_columns,
             const DraftLimits& limits);
  Status AllocateOnDevice();

  // Fill has_token_.
  void DrawOnHost(std::span<const DraftRequest* const> requests, ConstMatrixView logits);
  void DrawOnDevice(std::span<const DraftRequest* const> requests, ConstMatrixView logits);

  Backend* backend_;
  std::span<const TokenId> head_tokens_;
  int num_columns_;
  int max_drafts_;
  std::vector<DraftSampler> samplers_;  // one per host thread

  // Where the backend draws.
  std::unique_ptr<DeviceMemory> memory_;  // kept rows [max_drafts, columns], head tokens
  std::unique_ptr<Readback> end_;
  float* kept_ = nullptr;
  const TokenId* device_head_tokens_ = nullptr;
  TokenId* drawn_ = nullptr;
  int first_drawn_ = 0;
  int num_drawn_ = 0;  // since Begin

  // Scratch of one Draw.
  RowDraws draws_;
  std::vector<char> has_token_;  // whether there was one to draw
};

}  // namespace reprise
