// Draws a proposer's tokens. Where the backend draws, they stay on the device while the draft grows: the next
// step of the proposer's model reads them there, and the host gets all of a draft at once. Elsewhere the host
// draws.
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
};

class DraftDraws {
 public:
  // Rows of logits have `num_columns` entries; entry i scores head_tokens[i] (ascending; outlives this), or
  // token i when that is empty. RESOURCE_EXHAUSTED with the size.
  static Result<DraftDraws> Create(Backend& backend, std::span<const TokenId> head_tokens, int num_columns,
                                   const DraftLimits& limits);

  // The drafts of `requests` begin.
  void Begin(std::span<const DraftRequest> requests);
  // Appends to the draft of requests[i] a token drawn from row i of `logits`, maybe one that only the device
  // knows: a negative id, for a BatchView whose `drawn` is drawn(). Penalties include the drafts so far, and
  // afterwards the new token. Leaves in `unfinished`, ascending, the i whose draft shall go on.
  void Draw(std::span<const DraftRequest* const> requests, ConstMatrixView logits,
            std::vector<int>* unfinished);
  const TokenId* drawn() const { return drawn_tokens_; }
  // The drafts are complete: fetches what the host does not know, and takes them out of the penalties.
  void Finish(std::span<const DraftRequest> requests);

 private:
  DraftDraws(Backend& backend, std::span<const TokenId> head_tokens, int num_columns,
             const DraftLimits& limits);
  Status AllocateOnDevice();

  // Fill has_token_.
  void DrawOnHost(std::span<const DraftRequest* const> requests, ConstMatrixView logits);
  void DrawOnDevice(std::span<const DraftRequest* const> requests, ConstMatrixView logits);
  // Replaces what only the device knows by what it is. A draft ends where there was no token to draw.
  void Fetch();
  void Resolve(Draft* draft) const;

  Backend* backend_;
  std::span<const TokenId> head_tokens_;
  int num_columns_;
  int max_drafts_;
  std::vector<DraftSampler> samplers_;  // one per host thread

  std::unique_ptr<DeviceMemory>
      memory_;  // kept rows [max_drafts, columns], tokens drawn [max_drafts], head tokens
  float* kept_ = nullptr;
  TokenId* drawn_tokens_ = nullptr;
  const TokenId* device_head_tokens_ = nullptr;

  // Of one Begin.
  bool step_by_step_ = false;  // penalties need to know each token before the next
  int num_drawn_ = 0;
  int num_fetched_ = 0;
  std::vector<TokenId> fetched_;

  // Scratch of one Draw.
  RowDraws draws_;
  std::vector<char> has_token_;  // whether there was one to draw
};

}  // namespace reprise
