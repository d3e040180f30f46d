// The memory of an engine, all of it taken at start: first what steps need, then the KV cache, which on a
// device with memory of its own gets what is left.
#pragma once

#include <memory>

#include "base/status.h"
#include "engine/decoding/draft_memory.h"
#include "engine/engine.h"
#include "engine/kv_cache.h"
#include "kernels/backend.h"
#include "scheduler/scheduler.h"

namespace reprise {

struct EngineMemory {
  std::unique_ptr<DeviceMemory> drawn;  // of DrawnMemory, where the backend draws tokens
  DraftMemory drafts;
  KvCache kv;

  // Reserves the models and the backend, too. Of `config` all is set but num_blocks, and max_model_len is
  // what is wanted: it comes out as the cache can hold it. RESOURCE_EXHAUSTED with the sum.
  static Result<EngineMemory> Take(Backend& backend, const EngineModels& models, const EngineOptions& options,
                                   SchedulerConfig* config);
};

}  // namespace reprise
