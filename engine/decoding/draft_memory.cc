#include "engine/decoding/draft_memory.h"

#include "engine/decoding/draft_model.h"

namespace reprise {

DraftLimits DraftLimitsOf(const EngineModels& models, const SchedulerConfig& config, const DrawnMemory& drawn,
                          ProposerKind proposer) {
  return {models.target->config().vocab_size, config.block_size,
          config.max_num_batched_tokens,      config.max_num_seqs,
          config.max_num_logit_rows,          drawn.ids(),
          drawn.first_draft(proposer)};
}

Result<DraftMemory> DraftMemory::Allocate(Backend& backend, const EngineModels& models,
                                          const SchedulerConfig& config, const DrawnMemory& drawn) {
  DraftMemory memory;
  if (models.recycle != nullptr) {
    ASSIGN_OR_RETURN(memory.recycle,
                     RecycleScratch::Allocate(backend, *models.recycle,
                                              DraftLimitsOf(models, config, drawn, ProposerKind::kRecycle)));
  }
  if (models.draft != nullptr) {
    ASSIGN_OR_RETURN(
        memory.draft_model,
        DraftModelProposer::AllocateDraws(backend, *models.draft,
                                          DraftLimitsOf(models, config, drawn, ProposerKind::kDraftModel)));
  }
  return memory;
}

}  // namespace reprise
