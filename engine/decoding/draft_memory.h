// Device memory of the proposers that have a model, taken before the KV cache gets what is left.
#pragma once

#include <optional>

#include "base/status.h"
#include "engine/decoding/draft_draws.h"
#include "engine/decoding/recycle.h"
#include "engine/drawn_memory.h"
#include "engine/engine.h"
#include "kernels/backend.h"
#include "scheduler/scheduler.h"

namespace reprise {

struct DraftMemory {
  std::optional<RecycleScratch> recycle;
  std::optional<DraftDraws> draft_model;

  // For the models there are. RESOURCE_EXHAUSTED with the size.
  static Result<DraftMemory> Allocate(Backend& backend, const EngineModels& models,
                                      const SchedulerConfig& config, const DrawnMemory& drawn);
};

// What a proposer with a model is sized for.
DraftLimits DraftLimitsOf(const EngineModels& models, const SchedulerConfig& config, const DrawnMemory& drawn,
                          ProposerKind proposer);

}  // namespace reprise
