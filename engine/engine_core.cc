#include "engine/engine_core.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "engine/decoding/plain.h"
#include "engine/decoding/verifier.h"

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

}  // namespace

Result<std::unique_ptr<EngineCore>> EngineCore::Create(Backend& backend, Decoder& decoder,
                                                       const EngineOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  const ModelConfig& model = decoder.config();
  KvGeometry geometry = decoder.kv_geometry();
  geometry.block_size = options.block_size;
  geometry.type = options.kv_type;
  const std::size_t block_bytes = KvCache::BlockBytes(geometry, model.num_layers);
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
  geometry.num_blocks = static_cast<int>(num_blocks);
  const std::uint64_t pool_tokens = num_blocks * options.block_size;
  if (options.max_model_len > 0 && pool_tokens < wanted_len) {
    return ResourceExhausted("a KV cache of " + FormatBytes(options.kv_cache_bytes) + " holds " +
                             std::to_string(pool_tokens) + " tokens, less than max_model_len " +
                             std::to_string(wanted_len) + "; it takes " +
                             FormatBytes((wanted_len / options.block_size + 1) * block_bytes));
  }
  SchedulerConfig config;
  config.num_blocks = geometry.num_blocks;
  config.block_size = options.block_size;
  config.max_num_seqs = options.max_num_seqs;
  config.max_num_batched_tokens = options.max_num_batched_tokens;
  config.max_num_logit_rows =
      std::max(options.max_num_seqs, options.max_num_logit_rows > 0 ? options.max_num_logit_rows : 64);
  config.max_model_len = static_cast<int>(std::min(wanted_len, pool_tokens));
  config.enable_prefix_cache = options.enable_prefix_cache;
  if (pool_tokens < wanted_len) {
    LogWarning("the KV cache is smaller than one full context: max_model_len reduced",
               {{"max_model_len", config.max_model_len}, {"model_context", model.max_position}});
  }
  ASSIGN_OR_RETURN(KvCache kv, KvCache::Allocate(backend, geometry, model.num_layers, options.poison_kv));
  RETURN_IF_ERROR(decoder.Reserve(config.max_num_batched_tokens, config.max_num_logit_rows));
  EngineInfo info;
  info.max_model_len = config.max_model_len;
  info.block_size = config.block_size;
  info.num_blocks = config.num_blocks;
  info.max_num_seqs = config.max_num_seqs;
  info.backend = backend.name();
  info.kv_cache_bytes = kv.bytes();
  return std::unique_ptr<EngineCore>(new EngineCore(backend, decoder, config, std::move(kv), info));
}

EngineCore::EngineCore(Backend& backend, Decoder& decoder, const SchedulerConfig& config, KvCache kv,
                       const EngineInfo& info)
    : backend_(backend),
      decoder_(decoder),
      scheduler_(config),
      kv_(std::move(kv)),
      info_(info),
      builder_(config.block_size, config.max_num_batched_tokens, config.max_num_seqs,
               config.max_num_logit_rows, config.max_model_len / config.block_size + 1),
      proposer_(std::make_unique<PlainProposer>()),
      samplers_(static_cast<std::size_t>(backend.num_threads())) {}

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
  proposer_->Forget(it->first);
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

void EngineCore::ProposeDrafts(BatchPlan* plan) {
  wanted_drafts_.assign(plan->items.size(), proposer_->max_tokens());
  scheduler_.ReserveDrafts(plan, wanted_drafts_);
  drafts_.resize(plan->items.size());
  for (Draft& draft : drafts_) draft.tokens.clear();
  proposer_->Propose(*plan, drafts_);
}

Result<bool> EngineCore::Step(EngineObserver* observer) {
  observer_ = observer;
  const TimePoint start = Clock::now();
  BatchPlan plan = scheduler_.Plan();
  if (plan.empty()) return false;
  step_live_.clear();
  for (const ScheduledSequence& item : plan.items) {
    const auto it = live_.find(item.sequence->request->id);
    REPRISE_CHECK(it != live_.end());
    if (it->second.stats.scheduled == TimePoint{}) {
      it->second.stats.scheduled = start;
      it->second.stats.num_cached_tokens = item.sequence->num_cached_prompt_tokens;
    }
    step_live_.push_back(&it->second);
  }
  ProposeDrafts(&plan);
  const BatchView batch = builder_.Build(plan, drafts_);
  const TimePoint planned = Clock::now();
  const Decoder::Output output = decoder_.Forward(batch, kv_.layers());
  if (Status status = backend_.Synchronize(); !status.ok()) {
    AbortAll(FinishReason::kError, status);
    return status;
  }
  const TimePoint ran = Clock::now();
  VerifyAll(plan, backend_.ToHost(output.logits));
  proposer_->Observe(plan, accepted_, output);
  const TimePoint sampled = Clock::now();
  StepStats stats;
  for (const ScheduledSequence& item : plan.items) {
    stats.num_prompt_tokens +=
        std::clamp(item.sequence->num_prompt_tokens() - item.sequence->num_computed, 0, item.num_tokens);
  }
  CommitAndPublish(plan, sampled);
  if (observer != nullptr) {
    stats.plan_seconds = Seconds(start, planned);
    stats.forward_seconds = Seconds(planned, ran);
    stats.sample_seconds = Seconds(ran, sampled);
    stats.commit_seconds = Seconds(sampled, Clock::now());
    stats.num_tokens = batch.num_tokens();
    stats.num_sequences = static_cast<int>(plan.items.size());
    stats.num_preempted = plan.num_preempted;
    stats.num_running = scheduler_.num_running();
    stats.num_waiting = scheduler_.num_waiting();
    stats.kv_usage = kv_usage();
    stats.prefix_queries = plan.prefix_queries;
    stats.prefix_hits = plan.prefix_hits;
    stats.emissions = emissions_;
    observer->OnStep(stats);
  }
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
      const int rows = 1 + static_cast<int>(drafts_[i].tokens.size());
      const ConstMatrixView own{logits.row(row_start[i + 1] - rows), rows, logits.columns, logits.stride};
      item_status_[i] = VerifyDraft(*item.sequence, drafts_[i], own, live.penalties,
                                    samplers_[static_cast<std::size_t>(thread)], &generated_[i]);
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
    const std::span<const float> row(logits.row(first_row + r), static_cast<std::size_t>(logits.columns));
    live.prompt_logprobs.push_back(MakeLogprobs(row, request.prompt[predicted], request.prompt_logprobs));
  }
}

void EngineCore::CommitAndPublish(const BatchPlan& plan, TimePoint now) {
  const std::vector<CommitOutcome> outcomes = scheduler_.Commit(plan, accepted_);
  emissions_.clear();
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    const CommitOutcome& outcome = outcomes[i];
    Live& live = *step_live_[i];
    const Request& request = live.stream->request();
    live.stats.num_preemptions = plan.items[i].sequence->num_preemptions;
    if (request.prompt_logprobs >= 0 && !live.prompt_published &&
        live.prompt_logprobs.size() >= request.prompt.size()) {
      live.stream->PushPrompt(std::move(live.prompt_logprobs));
      live.prompt_published = true;
    }
    if (!item_status_[i].ok()) {
      scheduler_.Finish(request.id);
      End(live_.find(request.id), FinishReason::kError, item_status_[i], now);
      continue;
    }
    for (int k = 0; k < outcome.num_kept; ++k) {
      live.penalties.Append(generated_[i][k].token);
      live.stream->Push(std::move(generated_[i][k]));
    }
    if (outcome.num_kept > 0) {
      const bool first = live.stats.num_generated_tokens == 0;
      emissions_.push_back({outcome.num_kept, first,
                            Seconds(first ? request.arrival : live.last_emission, now), proposer_->method()});
      if (first) live.stats.first_token = now;
      live.last_emission = now;
      live.stats.num_generated_tokens += outcome.num_kept;
      ++live.stats.num_passes;
      const int drafted = static_cast<int>(drafts_[i].tokens.size());
      live.stats.num_draft_steps += drafted > 0;
      live.stats.num_draft_tokens += drafted;
      live.stats.num_accepted_draft_tokens +=
          std::min(outcome.num_kept, static_cast<int>(accepted_[i].tokens.size()) - 1);
    }
    if (outcome.finish_reason != FinishReason::kNone) {
      End(live_.find(request.id), outcome.finish_reason, OkStatus(), now);
    } else {
      live.stream->Publish();
    }
  }
}

}  // namespace reprise
