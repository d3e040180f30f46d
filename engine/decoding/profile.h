// Measures, before the first request, what steps of the loaded weights cost on this machine.
#pragma once

#include "engine/decoding/router.h"
#include "kernels/backend.h"
#include "models/decoder.h"
#include "models/recycle_module.h"

namespace reprise {

// A model's layers and their share of the KV cache.
struct ProfiledModel {
  std::span<const KvLayer> kv;
  int block_size = 0;
  int num_blocks = 0;
  int max_positions = 0;  // of a sequence
  int max_tokens = 0;     // of one step
  int max_rows = 0;       // of logits
};

// The model that a proposer drafts for.
struct ProfiledTarget {
  Decoder& decoder;
  const ProfiledModel& model;
};

// Seconds of a pass over 1, 2, 3, ... tokens, at most 64: of the target, with a row of logits for each; of a
// proposer, for every second one, and after a pass of the target, which leaves little of it in the
// processor's caches. Writes to the first few blocks of the cache, which nobody uses yet. Where the device
// fails they are of no use, and Backend::Synchronize says why.
CostCurve ProfileDecoder(Backend& backend, Decoder& decoder, const ProfiledModel& model);
CostCurve ProfileDraftModel(Backend& backend, Decoder& draft, const ProfiledModel& model,
                            const ProfiledTarget& target);
CostCurve ProfileRecycleModule(Backend& backend, RecycleModule& module, const ProfiledModel& model,
                               const ProfiledTarget& target);
// Seconds that one token of context adds to a pass over one token.
double ProfileContext(Backend& backend, Decoder& decoder, const ProfiledModel& model);

}  // namespace reprise
