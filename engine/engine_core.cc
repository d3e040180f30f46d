#include "engine/engine_core.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "models/recycle_module.h"

namespace reprise {
namespace {

double Seconds(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

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

// Of target, recycle module and draft, in that order.
std::vector<KvGeometry> LayerGeometries(const EngineModels& models) {
  std::vector<KvGeometry> layers(static_cast<std::size_t>(models.target->num_layers()),
                                 models.target->kv_geometry());
  const auto add = [&](const auto* model) {
    if (model != nullptr) {
      layers.insert(layers.end(), static_cast<std::size_t>(model->num_layers()), model->kv_geometry());
    }
  };
  add(models.recycle);
  add(models.draft);
  return layers;
}

}  // namespace

Result<std::unique_ptr<EngineCore>> EngineCore::Create(Backend& backend, const EngineModels& models,
                                                       const EngineOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  RETURN_IF_ERROR(backend.CheckKvType(options.kv_type));
  const ModelConfig& model = models.target->config();
  std::vector<KvGeometry> layers = LayerGeometries(models);
  for (KvGeometry& geometry : layers) {
    geometry.block_size = options.block_size;
    geometry.type = options.kv_type;
  }
  const std::size_t block_bytes = KvCache::BlockBytes(layers);
  const std::uint64_t wanted_len = options.max_model_len > 0 ? options.max_model_len : model.max_position;
  if (wanted_len > static_cast<std::uint64_t>(model.max_position)) {
    return InvalidArgument("max_model_len " + std::to_string(wanted_len) +
                           " exceeds the model's context of " + std::to_string(model.max_position));
  }
  // A pool larger than every sequence at full length would never be used.
  const std::uint64_t useful_blocks =
      (wanted_len / options.block_size + 1) * static_cast<std::uint64_t>(options.max_num_seqs);
  const std::uint64_t num_blocks =
      std::min<std::uint64_t>(options.kv_cache_bytes / block_bytes, useful_blocks);
  if (num_blocks == 0) {
    return ResourceExhausted("a KV cache of " + FormatBytes(options.kv_cache_bytes) +
                             " is less than one block (" + FormatBytes(block_bytes) + " for " +
                             std::to_string(options.block_size) + " tokens)");
  }
  for (KvGeometry& geometry : layers) geometry.num_blocks = static_cast<int>(num_blocks);
  const std::uint64_t pool_tokens = num_blocks * options.block_size;
  if (options.max_model_len > 0 && pool_tokens < wanted_len) {
    return ResourceExhausted("a KV cache of " + FormatBytes(options.kv_cache_bytes) + " holds " +
                             std::to_string(pool_tokens) + " tokens, less than max_model_len " +
                             std::to_string(wanted_len) + "; it takes " +
                             FormatBytes((wanted_len / options.block_size + 1) * block_bytes));
  }
  SchedulerConfig config;
  config.num_blocks = static_cast<int>(num_blocks);
  config.block_size = options.block_size;
  config.max_num_seqs = options.max_num_seqs;
  config.max_num_batched_tokens = options.max_num_batched_tokens;
  // By default room for a drafted token of every sequence.
  config.max_num_logit_rows = options.max_num_logit_rows > 0
                                  ? std::max(options.max_num_seqs, options.max_num_logit_rows)
                                  : std::max(64, 2 * options.max_num_seqs);
  config.max_model_len = static_cast<int>(std::min(wanted_len, pool_tokens));
  config.enable_prefix_cache = options.enable_prefix_cache;
  if (pool_tokens < wanted_len) {
    LogWarning("the KV cache is smaller than one full context: max_model_len reduced",
               {{"max_model_len", config.max_model_len}, {"model_context", model.max_position}});
  }
  ASSIGN_OR_RETURN(KvCache kv, KvCache::Allocate(backend, layers, options.poison_kv));
  RETURN_IF_ERROR(models.target->Reserve(config.max_num_batched_tokens, config.max_num_logit_rows));
  if (models.recycle != nullptr) {
    RETURN_IF_ERROR(models.recycle->Reserve(config.max_num_batched_tokens, config.max_num_seqs));
  }
  if (models.draft != nullptr) {
    RETURN_IF_ERROR(models.draft->Reserve(config.max_num_batched_tokens, config.max_num_seqs));
  }
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
  std::unique_ptr<EngineCore> core(new EngineCore(backend, models, config, std::move(kv), info));
  ASSIGN_OR_RETURN(core->drafting_,
                   Drafting::Create(backend, models, core->kv_, core->scheduler_, options.profile));
  if (backend.draws_tokens()) {
    ASSIGN_OR_RETURN(core->device_draws_,
                     DeviceDraws::Create(backend, config.max_num_logit_rows, model.vocab_size));
  }
  return core;
}

EngineCore::EngineCore(Backend& backend, const EngineModels& models, const SchedulerConfig& config,
                       KvCache kv, const EngineInfo& info)
    : backend_(backend),
      decoder_(*models.target),
      scheduler_(config),
      kv_(std::move(kv)),
      target_kv_(kv_.layers().first(static_cast<std::size_t>(decoder_.num_layers()))),
      info_(info),
      builder_(config.block_size, config.max_num_batched_tokens, config.max_num_seqs,
               config.max_num_logit_rows, config.max_model_len / config.block_size + 1),
      verifiers_(static_cast<std::size_t>(backend.num_threads())) {}

Status EngineCore::Add(std::shared_ptr<const Request> request, std::shared_ptr<TokenStream> stream) {
  RETURN_IF_ERROR(scheduler_.Admit(request));
  Live live{std::move(stream), PenaltyState(*request)};
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

void EngineCore::End(std::unordered_map<RequestId, Live>::iterator it, FinishReason reason,
                     const Status& status, TimePoint now) {
  Live& live = it->second;
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

void EngineCore::BeginItems(const BatchPlan& plan, TimePoint now) {
  step_live_.clear();
  penalties_.clear();
  for (const ScheduledSequence& item : plan.items) {
    const auto it = live_.find(item.sequence->request->id);
    REPRISE_CHECK(it != live_.end());
    Live& live = it->second;
    if (live.stats.scheduled == TimePoint{}) {
      live.stats.scheduled = now;
      live.stats.num_cached_tokens = item.sequence->num_cached_prompt_tokens;
    }
    step_live_.push_back(&live);
    penalties_.push_back(&live.penalties);
  }
  if (drafts_.size() < plan.items.size()) drafts_.resize(plan.items.size());
}

Result<bool> EngineCore::Step(EngineObserver* observer) {
  observer_ = observer;
  const TimePoint start = Clock::now();
  BatchPlan plan = scheduler_.Plan();
  if (plan.empty()) return false;
  BeginItems(plan, start);
  const std::span<Draft> drafts = std::span(drafts_).first(plan.items.size());
  drafting_->MakeDrafts(scheduler_, &plan, penalties_, drafts);
  const BatchView batch = builder_.Build(plan, drafts);
  const TimePoint planned = Clock::now();
  const Decoder::Output output = decoder_.Forward(batch, target_kv_);
  if (device_draws_) device_draws_->Draw(plan, drafts, penalties_, builder_.logit_row_start(), output.logits);
  if (Status status = backend_.Synchronize(); !status.ok()) {
    AbortAll(FinishReason::kError, status);
    return status;
  }
  const TimePoint ran = Clock::now();
  VerifyAll(plan, device_draws_ ? ConstMatrixView() : backend_.ToHost(output.logits));
  const TimePoint sampled = Clock::now();
  drafting_->Observe({plan, batch, accepted_, output}, drafts, Seconds(planned, ran), Seconds(ran, sampled));
  StepStats stats;
  for (const ScheduledSequence& item : plan.items) {
    stats.num_prompt_tokens +=
        std::clamp(item.sequence->num_prompt_tokens() - item.sequence->num_computed, 0, item.num_tokens);
  }
  Commit(plan, sampled);
  if (observer != nullptr) {
    stats.plan_seconds = Seconds(start, planned);
    stats.forward_seconds = Seconds(planned, ran);
    stats.sample_seconds = Seconds(ran, sampled);
    stats.commit_seconds = Seconds(sampled, Clock::now());
    stats.num_tokens = batch.num_tokens();
    stats.num_logit_rows = batch.num_logit_rows();
    stats.num_sequences = static_cast<int>(plan.items.size());
    stats.num_preempted = plan.num_preempted;
    stats.num_running = scheduler_.num_running();
    stats.num_waiting = scheduler_.num_waiting();
    stats.kv_usage = kv_usage();
    stats.prefix_queries = plan.prefix_queries;
    stats.prefix_hits = plan.prefix_hits;
    stats.emissions = emissions_;
    for (int m = 0; m < kNumMethods; ++m) {
      stats.goodput[static_cast<std::size_t>(m)] = drafting_->Goodput(static_cast<DecodingMethod>(m));
    }
    // Before anybody gets the tokens: who has them finds them counted.
    observer->OnStep(stats);
  }
  Publish(plan, sampled);
  return true;
}

void EngineCore::VerifyAll(const BatchPlan& plan, ConstMatrixView logits) {
  const std::size_t n = plan.items.size();
  generated_.resize(std::max(generated_.size(), n));
  item_status_.assign(n, OkStatus());
  accepted_.resize(n);
  const std::span<const int> row_start = builder_.logit_row_start();
  // Sampling is work over whole vocabularies: shared out over the host threads, one item a piece.
  backend_.ParallelFor(static_cast<int>(n), 1, [&](int begin, int end, int thread) {
    for (int i = begin; i < end; ++i) {
      const ScheduledSequence& item = plan.items[static_cast<std::size_t>(i)];
      generated_[i].clear();
      accepted_[i].tokens.clear();
      Live& live = *step_live_[i];
      if (item.sequence->request->prompt_logprobs >= 0)
        CollectPromptLogprobs(item, logits, row_start[i], live);
      if (!item.reaches_end || item.sequence->request->max_tokens == 0) continue;
      // The last ones; of an unverified draft only the very last may be there.
      const int rows =
          std::min(1 + static_cast<int>(drafts_[i].tokens.size()), row_start[i + 1] - row_start[i]);
      if (device_draws_) {
        item_status_[i] =
            device_draws_->Accept(*item.sequence, drafts_[i], rows, row_start[i + 1], &generated_[i]);
      } else {
        const ConstMatrixView own{logits.row(row_start[i + 1] - rows), rows, logits.columns, logits.stride};
        item_status_[i] = verifiers_[static_cast<std::size_t>(thread)].Verify(*item.sequence, drafts_[i], own,
                                                                              live.penalties, &generated_[i]);
      }
      // A failed item ends right after the commit; until then any token keeps the bookkeeping consistent.
      if (!item_status_[i].ok()) generated_[i].assign(1, GeneratedToken{});
      for (const GeneratedToken& token : generated_[i]) accepted_[i].tokens.push_back(token.token);
    }
  });
}

// Row r of an item belongs to position num_computed + num_tokens - num_logit_rows + r and predicts the token
// after it.
void EngineCore::CollectPromptLogprobs(const ScheduledSequence& item, ConstMatrixView logits, int first_row,
                                       Live& live) {
  const Sequence& sequence = *item.sequence;
  const Request& request = *sequence.request;
  if (live.prompt_published || live.prompt_logprobs.size() >= request.prompt.size()) return;
  if (live.prompt_logprobs.empty()) live.prompt_logprobs.push_back({request.prompt[0], 0.0f, 0, {}});
  const int first_position = sequence.num_computed + item.num_tokens - item.num_logit_rows;
  for (int r = 0; r < item.num_logit_rows; ++r) {
    const std::size_t predicted = static_cast<std::size_t>(first_position + r) + 1;
    // Recomputing after a preemption visits positions that were collected before.
    if (predicted != live.prompt_logprobs.size() || predicted >= request.prompt.size()) continue;
    if (device_draws_) {
      live.prompt_logprobs.push_back(device_draws_->TokenOf(first_row + r));
      continue;
    }
    const std::span<const float> row(logits.row(first_row + r), static_cast<std::size_t>(logits.columns));
    live.prompt_logprobs.push_back(MakeLogprobs(row, request.prompt[predicted], request.prompt_logprobs));
  }
}

void EngineCore::Commit(const BatchPlan& plan, TimePoint now) {
  outcomes_ = scheduler_.Commit(plan, accepted_);
  emissions_.clear();
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    Live& live = *step_live_[i];
    const Request& request = live.stream->request();
    live.stats.num_preemptions = plan.items[i].sequence->num_preemptions;
    if (request.prompt_logprobs >= 0 && !live.prompt_published &&
        live.prompt_logprobs.size() >= request.prompt.size()) {
      live.stream->PushPrompt(std::move(live.prompt_logprobs));
      live.prompt_published = true;
    }
    if (item_status_[i].ok() && outcomes_[i].num_kept > 0) CommitTokens(i, outcomes_[i].num_kept, now);
  }
}

void EngineCore::CommitTokens(std::size_t item, int num_kept, TimePoint now) {
  Live& live = *step_live_[item];
  RequestStats& stats = live.stats;
  const Route& route = drafting_->route(item);
  StepStats::Emission emission;
  emission.num_tokens = num_kept;
  emission.first = stats.num_generated_tokens == 0;
  emission.seconds = Seconds(emission.first ? live.stream->request().arrival : live.last_emission, now);
  emission.proposer = route.proposer;
  emission.method = route.proposer ? MethodOf(*route.proposer) : DecodingMethod::kPlain;
  emission.reason = route.reason;
  emission.num_drafted = static_cast<int>(drafts_[item].tokens.size());
  emission.num_accepted = std::min(num_kept, static_cast<int>(accepted_[item].tokens.size()) - 1);
  for (int k = 0; k < num_kept; ++k) {
    live.penalties.Append(generated_[item][k].token);
    live.stream->Push(std::move(generated_[item][k]));
  }
  if (emission.first) stats.first_token = now;
  live.last_emission = now;
  stats.num_generated_tokens += num_kept;
  ++stats.num_passes;
  stats.num_draft_steps += emission.num_drafted > 0;
  stats.num_draft_tokens += emission.num_drafted;
  stats.num_accepted_draft_tokens += emission.num_accepted;
  if (emission.num_drafted > 0) ++stats.acceptance_histogram[static_cast<std::size_t>(emission.num_accepted)];
  stats.tokens_by_method[static_cast<std::size_t>(emission.method)] += num_kept;
  const std::size_t who = route.proposer ? static_cast<std::size_t>(*route.proposer) : kNumProposers;
  ++stats.routes[who][static_cast<std::size_t>(route.reason)];
  const auto most = std::ranges::max_element(stats.tokens_by_method);
  stats.method = static_cast<DecodingMethod>(most - stats.tokens_by_method.begin());
  emissions_.push_back(emission);
}

void EngineCore::Publish(const BatchPlan& plan, TimePoint now) {
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    Live& live = *step_live_[i];
    const RequestId id = live.stream->request().id;
    if (!item_status_[i].ok()) {
      scheduler_.Finish(id);
      End(live_.find(id), FinishReason::kError, item_status_[i], now);
    } else if (outcomes_[i].finish_reason != FinishReason::kNone) {
      End(live_.find(id), outcomes_[i].finish_reason, OkStatus(), now);
    } else {
      live.stream->Publish();
    }
  }
}

}  // namespace reprise
