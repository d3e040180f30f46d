// EngineCore: one step, from its start to what is published.
#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/engine_core.h"
#include "engine/sampler.h"

namespace reprise {
namespace {

double Seconds(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

// Tokens of the items' chunks that belong to prompts.
int NumPromptTokens(const BatchPlan& plan) {
  int total = 0;
  for (const ScheduledSequence& item : plan.items) {
    total += std::clamp(item.sequence->num_prompt_tokens() - item.sequence->num_computed, 0, item.num_tokens);
  }
  return total;
}

int NumDrafted(std::span<const Draft> drafts) {
  int total = 0;
  for (const Draft& draft : drafts) total += static_cast<int>(draft.tokens.size());
  return total;
}

}  // namespace

bool EngineCore::Start(EngineStep& step, bool ahead) {
  step.begun = Clock::now();
  step.overtaken = false;
  step.plan = scheduler_.Plan();
  if (step.plan.empty()) return false;
  BeginItems(step);
  const std::span<Draft> drafts = step.drafts_of_items();
  const bool certain = drafting_->MakeDrafts(scheduler_, &step.plan, penalties_, drafts, ahead);
  step.may_be_overtaken = certain && MayBeOvertaken(step);
  step.routes.assign(drafting_->routes().begin(), drafting_->routes().end());
  step.batch = step.builder.Build(step.plan, drafts);
  step.planned = Clock::now();
  step.output = decoder_.Forward(step.batch, target_kv_);
  drafting_->AfterPass(step.batch, step.output);
  if (step.draws) {
    step.draws->Start(step.plan, drafts, penalties_, step.builder.logit_row_start(), step.output.logits);
  }
  return true;
}

void EngineCore::BeginItems(EngineStep& step) {
  step.live.clear();
  penalties_.clear();
  for (const ScheduledSequence& item : step.plan.items) {
    const auto it = live_.find(item.sequence->request->id);
    REPRISE_CHECK(it != live_.end());
    LiveRequest& live = it->second;
    if (live.stats.scheduled == TimePoint{}) {
      live.stats.scheduled = step.begun;
      live.stats.num_cached_tokens = item.sequence->num_cached_prompt_tokens;
    }
    step.live.push_back(&live);
    penalties_.push_back(&live.penalties);
  }
  if (step.drafts.size() < step.plan.items.size()) step.drafts.resize(step.plan.items.size());
  step.num_context = NumContext(step.plan);
  step.num_prompt_tokens = NumPromptTokens(step.plan);
}

Status EngineCore::Finish(EngineStep& step) {
  const TimePoint drafted = drafting_->WaitForDrafts();
  if (Status status = step.draws ? step.draws->Wait() : backend_.Synchronize(); !status.ok()) {
    AbortAll(FinishReason::kError, status);
    accepted_.assign(step.plan.items.size(), {});
    Settle(step);
    return status;
  }
  const TimePoint ran = Clock::now();
  if (step.draws) step.draws->Resolve(step.drafts_of_items());
  for (std::size_t i = 0; i < step.live.size(); ++i) {
    if (step.plan.items[i].sequence->ended) step.live[i] = nullptr;
  }
  VerifyAll(step, step.draws ? ConstMatrixView() : backend_.ToHost(step.output.logits));
  const TimePoint sampled = Clock::now();
  StepStats stats;
  stats.plan_seconds = Seconds(step.begun, step.planned);
  // Behind the step before, where it was planned ahead, and behind its own drafts.
  stats.forward_seconds = Seconds(std::max({step.planned, last_ran_, drafted}), ran);
  stats.sample_seconds = Seconds(ran, sampled);
  last_ran_ = ran;
  const std::span<const Draft> drafts = step.drafts_of_items();
  drafting_->ObserveCosts(step.plan, {step.batch.num_tokens(), step.num_context}, NumDrafted(drafts),
                          stats.forward_seconds, stats.sample_seconds);
  if (!step.overtaken) drafting_->Observe({step.plan, step.batch, accepted_}, drafts);
  Settle(step);
  CommitAll(step, sampled);
  if (observer_ != nullptr) {
    stats.commit_seconds = Seconds(sampled, Clock::now());
    Report(step, &stats);
    // Before anybody gets the tokens: who has them finds them counted.
    observer_->OnStep(stats);
  }
  Publish(step, sampled);
  return OkStatus();
}

void EngineCore::Report(const EngineStep& step, StepStats* stats) const {
  stats->num_tokens = step.batch.num_tokens();
  stats->num_prompt_tokens = step.num_prompt_tokens;
  stats->num_logit_rows = step.batch.num_logit_rows();
  stats->num_sequences = static_cast<int>(step.plan.items.size());
  stats->num_preempted = step.plan.num_preempted;
  stats->num_running = scheduler_.num_running();
  stats->num_waiting = scheduler_.num_waiting();
  stats->kv_usage = kv_usage();
  stats->prefix_queries = step.plan.prefix_queries;
  stats->prefix_hits = step.plan.prefix_hits;
  stats->emissions = emissions_;
  for (int m = 0; m < kNumMethods; ++m) {
    stats->goodput[static_cast<std::size_t>(m)] = drafting_->Goodput(static_cast<DecodingMethod>(m));
  }
}

void EngineCore::VerifyAll(EngineStep& step, ConstMatrixView logits) {
  const std::size_t n = step.plan.items.size();
  generated_.resize(std::max(generated_.size(), n));
  item_status_.assign(n, OkStatus());
  accepted_.resize(n);
  // Sampling is work over whole vocabularies: shared out over the host threads, one item a piece.
  backend_.ParallelFor(static_cast<int>(n), 1, [&](int begin, int end, int thread) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      const ScheduledSequence& item = step.plan.items[i];
      generated_[i].clear();
      accepted_[i].tokens.clear();
      if (step.live[i] == nullptr) continue;
      if (item.sequence->request->prompt_logprobs >= 0) {
        item_status_[i] = CollectPromptLogprobs(step, i, logits);
      }
      if (!item.reaches_end || item.sequence->request->max_tokens == 0) continue;
      if (item_status_[i].ok()) {
        item_status_[i] = VerifyItem(step, i, logits, verifiers_[static_cast<std::size_t>(thread)]);
      }
      // A failed item ends right after the commit; until then any token keeps the bookkeeping consistent.
      if (!item_status_[i].ok()) generated_[i].assign(1, GeneratedToken{});
      for (const GeneratedToken& token : generated_[i]) accepted_[i].tokens.push_back(token.token);
    }
  });
}

Status EngineCore::VerifyItem(EngineStep& step, std::size_t item, ConstMatrixView logits,
                              Verifier& verifier) {
  const Sequence& sequence = *step.plan.items[item].sequence;
  const Draft& draft = step.drafts[item];
  const std::span<const int> row_start = step.builder.logit_row_start();
  const int end_row = row_start[item + 1];
  // The last ones; of an unverified draft only the very last may be there.
  const int rows = std::min(1 + static_cast<int>(draft.tokens.size()), end_row - row_start[item]);
  if (step.draws) return step.draws->Accept(sequence, draft, rows, end_row, &generated_[item]);
  const ConstMatrixView own{logits.row(end_row - rows), rows, logits.columns, logits.stride};
  return verifier.Verify(sequence, draft, own, step.live[item]->penalties, &generated_[item]);
}

// Row r of an item belongs to position num_computed + num_tokens - num_logit_rows + r and predicts the token
// after it.
Status EngineCore::CollectPromptLogprobs(const EngineStep& step, std::size_t index, ConstMatrixView logits) {
  const ScheduledSequence& item = step.plan.items[index];
  const int first_row = step.builder.logit_row_start()[index];
  LiveRequest& live = *step.live[index];
  const Sequence& sequence = *item.sequence;
  const Request& request = *sequence.request;
  if (live.prompt_published || live.prompt_logprobs.size() >= request.prompt.size()) return OkStatus();
  if (live.prompt_logprobs.empty()) live.prompt_logprobs.push_back({request.prompt[0], 0.0f, 0, {}});
  const int first_position = sequence.num_computed + item.num_tokens - item.num_logit_rows;
  for (int r = 0; r < item.num_logit_rows; ++r) {
    const std::size_t predicted = static_cast<std::size_t>(first_position + r) + 1;
    // Recomputing after a preemption visits positions that were collected before.
    if (predicted != live.prompt_logprobs.size() || predicted >= request.prompt.size()) continue;
    if (step.draws) {
      live.prompt_logprobs.push_back(step.draws->TokenOf(first_row + r));
    } else {
      const std::span row(logits.row(first_row + r), static_cast<std::size_t>(logits.columns));
      live.prompt_logprobs.push_back(MakeLogprobs(row, request.prompt[predicted], request.prompt_logprobs));
    }
    if (std::isnan(live.prompt_logprobs.back().logprob)) return NoFiniteLogit(static_cast<int>(predicted));
  }
  return OkStatus();
}

void EngineCore::Settle(const EngineStep& step) {
  outcomes_ =
      step.overtaken ? scheduler_.Resolve(step.plan, accepted_) : scheduler_.Commit(step.plan, accepted_);
}

void EngineCore::CommitAll(EngineStep& step, TimePoint now) {
  emissions_.clear();
  for (std::size_t i = 0; i < step.plan.items.size(); ++i) {
    if (step.live[i] == nullptr) continue;
    LiveRequest& live = *step.live[i];
    const Request& request = live.stream->request();
    live.stats.num_preemptions = step.plan.items[i].sequence->num_preemptions;
    if (request.prompt_logprobs >= 0 && !live.prompt_published &&
        live.prompt_logprobs.size() >= request.prompt.size()) {
      live.stream->PushPrompt(std::move(live.prompt_logprobs));
      live.prompt_published = true;
    }
    if (item_status_[i].ok() && outcomes_[i].num_kept > 0) CommitTokens(step, i, outcomes_[i].num_kept, now);
  }
}

void EngineCore::CommitTokens(EngineStep& step, std::size_t item, int num_kept, TimePoint now) {
  LiveRequest& live = *step.live[item];
  RequestStats& stats = live.stats;
  const Route& route = step.routes[item];
  StepStats::Emission emission;
  emission.num_tokens = num_kept;
  emission.first = stats.num_generated_tokens == 0;
  emission.seconds = Seconds(emission.first ? live.stream->request().arrival : live.last_emission, now);
  emission.proposer = route.proposer;
  emission.method = route.proposer ? MethodOf(*route.proposer) : DecodingMethod::kPlain;
  emission.reason = route.reason;
  emission.num_drafted = static_cast<int>(step.drafts[item].tokens.size());
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

void EngineCore::Publish(const EngineStep& step, TimePoint now) {
  for (std::size_t i = 0; i < step.plan.items.size(); ++i) {
    if (step.live[i] == nullptr) continue;
    LiveRequest& live = *step.live[i];
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
