#include "engine/engine_memory.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "engine/drawn_memory.h"
#include "engine/memory_ledger.h"
#include "models/decoder.h"
#include "models/recycle_module.h"

namespace reprise {
namespace {

std::uint64_t WeightBytes(const EngineModels& models) {
  return models.target->weight_bytes() + (models.recycle != nullptr ? models.recycle->weight_bytes() : 0) +
         (models.draft != nullptr ? models.draft->weight_bytes() : 0);
}

Status ReserveActivations(const EngineModels& models, const SchedulerConfig& config) {
  const int tokens = config.max_num_batched_tokens;
  RETURN_IF_ERROR(models.target->Reserve(tokens, config.max_num_logit_rows));
  if (models.recycle != nullptr) RETURN_IF_ERROR(models.recycle->Reserve(tokens, config.max_num_seqs));
  return models.draft != nullptr ? models.draft->Reserve(tokens, config.max_num_seqs) : OkStatus();
}

Status TakeDrawn(Backend& backend, const EngineModels& models, const SchedulerConfig& config,
                 EngineMemory* memory) {
  const int max_rows = config.max_num_logit_rows;
  if (backend.draws_tokens()) {
    ASSIGN_OR_RETURN(memory->drawn, backend.Allocate(DrawnMemory::Bytes(max_rows)));
  }
  const DrawnMemory drawn(memory->drawn != nullptr ? memory->drawn->data() : nullptr, max_rows);
  ASSIGN_OR_RETURN(memory->drafts, DraftMemory::Allocate(backend, models, config, drawn));
  return OkStatus();
}

StepLimits LimitsOf(const EngineModels& models, const SchedulerConfig& config) {
  StepLimits limits;
  limits.max_tokens = config.max_num_batched_tokens;
  limits.max_sequences = config.max_num_seqs;
  limits.max_logit_rows = config.max_num_logit_rows;
  limits.max_columns = models.target->vocabulary().head->rows();
  if (models.recycle != nullptr)
    limits.max_columns = std::max(limits.max_columns, models.recycle->num_head_rows());
  if (models.draft != nullptr)
    limits.max_columns = std::max(limits.max_columns, models.draft->vocabulary().head->rows());
  limits.max_context = (config.max_model_len / config.block_size + 1) * config.block_size;
  limits.block_size = config.block_size;
  return limits;
}

// Of target, recycle module and draft, in that order; without a number of blocks.
std::vector<KvGeometry> LayerGeometries(const EngineModels& models, const EngineOptions& options) {
  std::vector<KvGeometry> layers;
  const auto add = [&layers](const auto* model) {
    if (model != nullptr)
      layers.insert(layers.end(), static_cast<std::size_t>(model->num_layers()), model->kv_geometry());
  };
  add(models.target);
  add(models.recycle);
  add(models.draft);
  for (KvGeometry& geometry : layers) {
    geometry.block_size = options.block_size;
    geometry.type = options.kv_type;
  }
  return layers;
}

// Sets what depends on the number of blocks. A pool that cannot hold `least_len` tokens is refused; one that
// cannot hold max_model_len shortens that.
Status SizePool(std::uint64_t kv_bytes, std::size_t block_bytes, int least_len, SchedulerConfig* config) {
  const auto block_size = static_cast<std::uint64_t>(config->block_size);
  const auto max_len = static_cast<std::uint64_t>(config->max_model_len);
  // A pool larger than every sequence at full length would never be used.
  const std::uint64_t useful_blocks =
      (max_len / block_size + 1) * static_cast<std::uint64_t>(config->max_num_seqs);
  const std::uint64_t num_blocks = std::min<std::uint64_t>(kv_bytes / block_bytes, useful_blocks);
  if (num_blocks == 0) {
    return ResourceExhausted("a KV cache of " + FormatBytes(kv_bytes) + " is less than one block (" +
                             FormatBytes(block_bytes) + " for " + std::to_string(block_size) + " tokens)");
  }
  const std::uint64_t pool_tokens = num_blocks * block_size;
  if (pool_tokens < static_cast<std::uint64_t>(least_len)) {
    return ResourceExhausted("a KV cache of " + FormatBytes(kv_bytes) + " holds " +
                             std::to_string(pool_tokens) + " tokens, less than max_model_len " +
                             std::to_string(least_len) + "; it takes " +
                             FormatBytes((max_len / block_size + 1) * block_bytes));
  }
  config->num_blocks = static_cast<int>(num_blocks);
  config->max_model_len = static_cast<int>(std::min(max_len, pool_tokens));
  if (pool_tokens < max_len) {
    LogWarning("the KV cache is smaller than one full context: max_model_len reduced",
               {{"max_model_len", config->max_model_len}, {"model_context", max_len}});
  }
  return OkStatus();
}

}  // namespace

Result<EngineMemory> EngineMemory::Take(Backend& backend, const EngineModels& models,
                                        const EngineOptions& options, SchedulerConfig* config) {
  MemoryLedger ledger(backend, options.gpu_memory_utilization, WeightBytes(models));
  EngineMemory memory;
  std::size_t on_demand = 0;
  RETURN_IF_ERROR(ledger.Take("activations", [&] { return ReserveActivations(models, *config); }));
  RETURN_IF_ERROR(ledger.Take("drafts", [&] { return TakeDrawn(backend, models, *config, &memory); }));
  RETURN_IF_ERROR(ledger.Take("scratch memory", [&]() -> Status {
    ASSIGN_OR_RETURN(on_demand, backend.Reserve(LimitsOf(models, *config)));
    return OkStatus();
  }));
  ledger.KeepFree("graphs of steps", on_demand);

  std::vector<KvGeometry> layers = LayerGeometries(models, options);
  const int hidden_size = models.recycle != nullptr ? models.recycle->hidden_size() : 0;
  ASSIGN_OR_RETURN(const std::optional<std::uint64_t> left, ledger.Left());
  // Without blocks there is still the row of zeros.
  const std::uint64_t rest = KvCache::Bytes(layers, hidden_size);
  const std::uint64_t kv_bytes = left ? *left - std::min(*left, rest) : options.kv_cache_bytes;
  RETURN_IF_ERROR(ledger.Explain(
      SizePool(kv_bytes, KvCache::BlockBytes(layers, hidden_size), options.max_model_len, config)));
  for (KvGeometry& geometry : layers) geometry.num_blocks = config->num_blocks;
  RETURN_IF_ERROR(ledger.Take("KV cache", [&]() -> Status {
    ASSIGN_OR_RETURN(memory.kv, KvCache::Allocate(backend, layers, options.poison_kv, hidden_size));
    return OkStatus();
  }));
  return memory;
}

}  // namespace reprise
