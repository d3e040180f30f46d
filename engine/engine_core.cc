#include "engine/engine_core.h"

#include <algorithm>
#include <string>
#include <utility>

#include "models/recycle_module.h"

namespace reprise {
namespace {

Status CheckOptions(const EngineOptions& options) {
  const auto require = [](bool ok, const std::string& what) {
    return ok ? OkStatus() : InvalidArgument(what);
  };
  RETURN_IF_ERROR(
      require(options.block_size > 0 && options.block_size % 16 == 0 && options.block_size <= 256,
              "block size must be a multiple of 16 up to 256, not " + std::to_string(options.block_size)));
  RETURN_IF_ERROR(require(options.max_num_seqs > 0,
                          "max_num_seqs must be at least 1, not " + std::to_string(options.max_num_seqs)));
  RETURN_IF_ERROR(require(options.max_num_batched_tokens >= options.max_num_seqs,
                          "max_num_batched_tokens (" + std::to_string(options.max_num_batched_tokens) +
                              ") must be at least max_num_seqs (" + std::to_string(options.max_num_seqs) +
                              ")"));
  RETURN_IF_ERROR(require(options.max_model_len >= 0, "max_model_len must not be negative"));
  return require(options.max_queued_requests > 0, "max_queued_requests must be at least 1");
}

// All but the number of blocks; max_model_len is what is wanted.
SchedulerConfig ConfigOf(const EngineOptions& options, const ModelConfig& model) {
  SchedulerConfig config;
  config.block_size = options.block_size;
  config.max_num_seqs = options.max_num_seqs;
  config.max_num_batched_tokens = options.max_num_batched_tokens;
  // By default room for a drafted token of every sequence.
  config.max_num_logit_rows = options.max_num_logit_rows > 0
                                  ? std::max(options.max_num_seqs, options.max_num_logit_rows)
                                  : std::max(64, 2 * options.max_num_seqs);
  config.max_model_len = options.max_model_len > 0 ? options.max_model_len : model.max_position;
  config.enable_prefix_cache = options.enable_prefix_cache;
  return config;
}

EngineInfo InfoOf(const Backend& backend, const EngineModels& models, const SchedulerConfig& config,
                  const KvCache& kv) {
  EngineInfo info;
  info.max_model_len = config.max_model_len;
  info.block_size = config.block_size;
  info.num_blocks = config.num_blocks;
  info.max_num_seqs = config.max_num_seqs;
  info.backend = backend.name();
  info.kv_cache_bytes = kv.bytes();
  if (models.recycle != nullptr) info.proposers.push_back(ProposerKind::kRecycle);
  if (models.draft != nullptr) info.proposers.push_back(ProposerKind::kDraftModel);
  info.proposers.push_back(ProposerKind::kPromptLookup);
  return info;
}

}  // namespace

Result<std::unique_ptr<EngineCore>> EngineCore::Create(Backend& backend, const EngineModels& models,
                                                       const EngineOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  RETURN_IF_ERROR(backend.CheckKvType(options.kv_type));
  const ModelConfig& model = models.target->config();
  if (options.max_model_len > model.max_position) {
    return InvalidArgument("max_model_len " + std::to_string(options.max_model_len) +
                           " exceeds the model's context of " + std::to_string(model.max_position));
  }
  SchedulerConfig config = ConfigOf(options, model);
  ASSIGN_OR_RETURN(EngineMemory memory, EngineMemory::Take(backend, models, options, &config));
  const EngineInfo info = InfoOf(backend, models, config, memory.kv);
  std::unique_ptr<EngineCore> core(new EngineCore(backend, models, config, std::move(memory), info));
  RETURN_IF_ERROR(core->Prepare(models, options));
  return core;
}

EngineCore::EngineCore(Backend& backend, const EngineModels& models, const SchedulerConfig& config,
                       EngineMemory memory, const EngineInfo& info)
    : backend_(backend),
      decoder_(*models.target),
      scheduler_(config),
      memory_(std::move(memory)),
      target_kv_(memory_.kv.layers().first(static_cast<std::size_t>(decoder_.num_layers()))),
      info_(info),
      verifiers_(static_cast<std::size_t>(backend.num_threads())) {}

Status EngineCore::Prepare(const EngineModels& models, const EngineOptions& options) {
  const SchedulerConfig& config = scheduler_.config();
  const int max_rows = config.max_num_logit_rows;
  const bool device_draws = backend_.draws_tokens();
  const DrawnMemory drawn = drawn_memory();
  drafting_ = Drafting::Create(backend_, models, memory_.kv, drawn, std::move(memory_.drafts), scheduler_,
                               options.profile);
  const std::size_t num_steps = device_draws && options.plan_ahead ? 2 : 1;
  steps_.reserve(num_steps);  // their addresses stay
  while (steps_.size() < num_steps) {
    EngineStep& step = steps_.emplace_back(
        BatchBuilder(config.block_size, config.max_num_batched_tokens, config.max_num_seqs, max_rows,
                     config.max_model_len / config.block_size + 1, drawn.ids()));
    if (!device_draws) continue;
    ASSIGN_OR_RETURN(step.draws,
                     DeviceDraws::Create(backend_, drawn, max_rows, models.target->config().vocab_size));
  }
  return backend_.Synchronize();  // with what went wrong while steps were measured
}

Status EngineCore::Add(std::shared_ptr<const Request> request, std::shared_ptr<TokenStream> stream) {
  RETURN_IF_ERROR(scheduler_.Admit(request));
  LiveRequest live{std::move(stream), PenaltyState(*request)};
  live.last_emission = request->arrival;
  live.stats.arrival = request->arrival;
  live.stats.num_prompt_tokens = static_cast<int>(request->prompt.size());
  live.stats.seed = request->sampling.seed;
  if (request->deadline) {
    live.deadline = deadlines_.emplace(*request->deadline, request->id);
    live.has_deadline = true;
  }
  live_.emplace(request->id, std::move(live));
  return OkStatus();
}

void EngineCore::End(LiveRequests::iterator it, FinishReason reason, const Status& status, TimePoint now) {
  LiveRequest& live = it->second;
  if (live.has_deadline) deadlines_.erase(live.deadline);
  live.stats.finished = now;
  drafting_->Forget(it->first);
  if (observer_ != nullptr) observer_->OnFinished(live.stream->request(), live.stats, reason);
  const std::shared_ptr<TokenStream> stream = std::move(live.stream);
  const RequestStats stats = live.stats;
  live_.erase(it);
  stream->Finish(reason, status, stats);
}

void EngineCore::Abort(RequestId id, FinishReason reason, const Status& status) {
  const auto it = live_.find(id);
  if (it == live_.end()) return;
  scheduler_.Finish(id);
  End(it, reason, status, Clock::now());
  if (live_.empty()) DropInFlight();
}

void EngineCore::AbortAll(FinishReason reason, const Status& status) {
  while (!live_.empty()) Abort(live_.begin()->first, reason, status);
}

void EngineCore::ExpireDeadlines(TimePoint now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    Abort(deadlines_.begin()->second, FinishReason::kTimeout);
  }
}

double EngineCore::kv_usage() const {
  const BlockPool& pool = scheduler_.block_pool();
  return static_cast<double>(pool.num_used()) / static_cast<double>(pool.num_total());
}

}  // namespace reprise
