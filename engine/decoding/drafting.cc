#include "engine/decoding/drafting.h"

#include <algorithm>
#include <chrono>

#include "engine/decoding/draft_model.h"
#include "engine/decoding/profile.h"
#include "engine/decoding/prompt_lookup.h"
#include "engine/decoding/recycle.h"

namespace reprise {
namespace {

// Drafts of a method that was requested without a length.
constexpr int kDraftModelDefault = 4;
constexpr int kPromptLookupDefault = 8;

// Without a profile: passes that cost the same whatever they compute, and cheap drafts. Steps soon correct
// it.
const CostCurve kUnmeasuredPass({{1, 1e-3}, {64, 1e-3}});
const CostCurve kUnmeasuredDraft({{1, 1e-4}, {64, 1e-4}});
// What a look-up costs is hashing a few tokens.
const CostCurve kLookupCost({{1, 1e-6}, {64, 64e-6}});

bool GetsNextToken(const ScheduledSequence& item) {
  const Request& request = *item.sequence->request;
  return item.reaches_end && item.num_tokens == 1 && item.num_logit_rows == 1 && request.max_tokens > 0;
}

// Each model's share of the cache, as profiles want it.
struct ModelLayers {
  ModelLayers(const EngineModels& models, const KvCache& kv, const SchedulerConfig& config) {
    std::span<const KvLayer> rest = kv.layers();
    const auto take = [&](const auto* model, int max_rows) -> ProfiledModel {
      if (model == nullptr) return {};
      const auto own = rest.first(static_cast<std::size_t>(model->num_layers()));
      rest = rest.subspan(own.size());
      return {
          own,     config.block_size, config.num_blocks, config.max_model_len, config.max_num_batched_tokens,
          max_rows};
    };
    target = take(models.target, config.max_num_logit_rows);
    recycle = take(models.recycle, config.max_num_seqs);
    draft = take(models.draft, config.max_num_seqs);
  }

  ProfiledModel target, recycle, draft;
};

void Measure(Backend& backend, const EngineModels& models, const ModelLayers& layers, StepCosts* costs) {
  const ProfiledTarget target{*models.target, layers.target};
  costs->step = ProfileDecoder(backend, *models.target, layers.target);
  costs->context_seconds = ProfileContext(backend, *models.target, layers.target);
  if (models.recycle != nullptr) {
    costs->proposer[IndexOf(ProposerKind::kRecycle)] =
        ProfileRecycleModule(backend, *models.recycle, layers.recycle, target);
  }
  if (models.draft != nullptr) {
    costs->proposer[IndexOf(ProposerKind::kDraftModel)] =
        ProfileDraftModel(backend, *models.draft, layers.draft, target);
  }
}

}  // namespace

int NumContext(const BatchPlan& plan) {
  int total = 0;
  for (const ScheduledSequence& item : plan.items) total += item.sequence->num_computed;
  return total;
}

std::unique_ptr<Drafting> Drafting::Create(Backend& backend, const EngineModels& models, const KvCache& kv,
                                           const DrawnMemory& drawn, DraftMemory memory,
                                           const Scheduler& scheduler, bool profile) {
  const SchedulerConfig& config = scheduler.config();
  const BlockPool& pool = scheduler.block_pool();
  const ModelLayers layers(models, kv, config);
  std::array<std::unique_ptr<Proposer>, kNumProposers> proposers;
  if (models.recycle != nullptr) {
    proposers[IndexOf(ProposerKind::kRecycle)] = std::make_unique<RecycleProposer>(
        backend, *models.recycle, RecycleProposer::Memory{layers.recycle.kv, kv.hidden_states(), pool},
        DraftLimitsOf(models, config, drawn, ProposerKind::kRecycle), std::move(*memory.recycle));
  }
  if (models.draft != nullptr) {
    proposers[IndexOf(ProposerKind::kDraftModel)] = std::make_unique<DraftModelProposer>(
        *models.draft, layers.draft.kv, pool, DraftLimitsOf(models, config, drawn, ProposerKind::kDraftModel),
        std::move(*memory.draft_model));
  }
  proposers[IndexOf(ProposerKind::kPromptLookup)] = std::make_unique<PromptLookupProposer>();
  StepCosts costs{kUnmeasuredPass, 0, {kUnmeasuredDraft, kUnmeasuredDraft, kLookupCost}};
  if (profile) Measure(backend, models, layers, &costs);
  const int recycle_default = models.recycle != nullptr ? models.recycle->config().max_draft_tokens : 1;
  return std::make_unique<Drafting>(std::move(proposers), std::move(costs), recycle_default);
}

Drafting::Drafting(std::array<std::unique_ptr<Proposer>, kNumProposers> proposers, StepCosts costs,
                   int recycle_default)
    : proposers_(std::move(proposers)), router_(std::move(costs)), recycle_default_(recycle_default) {}

std::optional<ProposerKind> Drafting::RequestedProposer(const Request& request) const {
  switch (request.decoding) {
    case DecodingMethod::kRecycle:
      return ProposerKind::kRecycle;
    case DecodingMethod::kSpeculative:
      if (request.proposer) return request.proposer;
      return proposers_[IndexOf(ProposerKind::kDraftModel)] != nullptr ? ProposerKind::kDraftModel
                                                                       : ProposerKind::kPromptLookup;
    case DecodingMethod::kAuto:
    case DecodingMethod::kPlain:
      break;
  }
  return std::nullopt;
}

int Drafting::DefaultLength(ProposerKind proposer, const Request& request) const {
  switch (proposer) {
    case ProposerKind::kRecycle:
      return request.lenience <= 0.0f ? 1 : recycle_default_;  // the paper's alternation is by pairs
    case ProposerKind::kDraftModel:
      return kDraftModelDefault;
    case ProposerKind::kPromptLookup:
      return kPromptLookupDefault;
  }
  return 0;
}

RoutingRequest Drafting::Describe(const Sequence& sequence) const {
  const Request& request = *sequence.request;
  RoutingRequest description;
  description.id = request.id;
  description.requested = request.decoding != DecodingMethod::kAuto;
  description.requested_proposer = RequestedProposer(request);
  if (description.requested && !description.requested_proposer) return description;
  const int useful = Scheduler::MaxDraftTokens(sequence);
  const int longest =
      description.requested ? DefaultLength(*description.requested_proposer, request) : kMaxDraftTokens;
  description.max_tokens = std::min(useful, request.max_draft_tokens.value_or(longest));
  if (description.max_tokens <= 0) return description;
  for (std::size_t p = 0; p < proposers_.size(); ++p) {
    const auto kind = static_cast<ProposerKind>(p);
    const bool allowed = description.requested ? description.requested_proposer == kind
                                               : request.proposer.value_or(kind) == kind;
    if (allowed && proposers_[p] != nullptr) description.offers[p] = proposers_[p]->Offer(sequence);
  }
  return description;
}

// Whether the item's next step has to wait for the end of this one, for the sake of drafts.
bool Drafting::HoldsUpNextStep(const ScheduledSequence& item) const {
  const Request& request = *item.sequence->request;
  return RequestedProposer(request).has_value() && request.max_draft_tokens.value_or(1) > 0;
}

bool Drafting::MakeDrafts(Scheduler& scheduler, BatchPlan* plan, std::span<PenaltyState* const> penalties,
                          std::span<Draft> drafts, bool ahead) {
  decoding_.clear();
  requests_.clear();
  routes_of_items_.assign(plan->items.size(), Route{std::nullopt, 0, RouteReason::kPrompt});
  wanted_.assign(plan->items.size(), 0);
  for (std::size_t i = 0; i < plan->items.size(); ++i) {
    drafts[i].Clear();
    if (!GetsNextToken(plan->items[i])) continue;
    decoding_.push_back(i);
    requests_.push_back(Describe(*plan->items[i].sequence));
  }
  const int rows_left = scheduler.config().max_num_logit_rows - plan->num_logit_rows;
  router_.Assign(requests_, {plan->num_tokens, NumContext(*plan)},
                 std::min(plan->token_budget_left, rows_left), &routes_);
  const bool anybody_drafts =
      std::ranges::any_of(routes_, [](const Route& route) { return route.proposer.has_value(); });
  if (ahead) {
    for (Route& route : routes_) {
      if (route.proposer) route = {std::nullopt, 0, RouteReason::kNothingToDraft};
    }
  }
  for (std::size_t i = 0; i < decoding_.size(); ++i) {
    routes_of_items_[decoding_[i]] = routes_[i];
    wanted_[decoding_[i]] = routes_[i].num_tokens;
  }
  scheduler.ReserveDrafts(plan, wanted_);
  Propose(*plan, penalties, drafts);
  for (std::size_t i = 0; i < plan->items.size(); ++i) {
    Route& route = routes_of_items_[i];
    if (!route.proposer || !drafts[i].tokens.empty()) continue;
    route = {std::nullopt, 0,
             plan->items[i].num_draft_tokens > 0 ? RouteReason::kNothingToDraft : RouteReason::kNoBudget};
  }
  return !anybody_drafts && std::ranges::none_of(plan->items, [this](const ScheduledSequence& item) {
    return HoldsUpNextStep(item);
  });
}

void Drafting::Propose(const BatchPlan& plan, std::span<PenaltyState* const> penalties,
                       std::span<Draft> drafts) {
  for (std::size_t p = 0; p < proposers_.size(); ++p) {
    const auto kind = static_cast<ProposerKind>(p);
    wishes_.clear();
    std::vector<int> passes(kMaxDraftTokens, 0);
    for (std::size_t i = 0; i < plan.items.size(); ++i) {
      const ScheduledSequence& item = plan.items[i];
      if (routes_of_items_[i].proposer != kind || item.num_draft_tokens == 0) continue;
      const DraftOffer offer = proposers_[p]->Offer(*item.sequence).value_or(DraftOffer{});
      drafts[i].proposer = kind;
      drafts[i].confidence = offer.confidence;
      wishes_.push_back({item.sequence, penalties[i], item.num_draft_tokens, &drafts[i]});
      passes[0] += std::max(1, offer.to_read);
    }
    if (wishes_.empty()) continue;
    const TimePoint begin = Clock::now();
    proposers_[p]->Propose(wishes_);
    const TimePoint returned = Clock::now();
    for (const DraftRequest& wish : wishes_) {
      for (std::size_t depth = 1; depth < wish.draft->tokens.size(); ++depth) ++passes[depth];
    }
    passes.erase(std::ranges::find(passes, 0), passes.end());
    if (proposers_[p]->end_of_drafts() != nullptr) {
      drafted_.push_back({kind, std::move(passes), begin});
    } else {
      router_.ObserveProposer(kind, passes, std::chrono::duration<double>(returned - begin).count());
    }
  }
}

void Drafting::AfterPass(const BatchView& batch, const Decoder::Output& output) {
  for (const auto& proposer : proposers_) {
    if (proposer != nullptr) proposer->AfterPass(batch, output);
  }
}

TimePoint Drafting::WaitForDrafts() {
  TimePoint end = {};
  for (const Drafted& drafted : drafted_) {
    if (!proposers_[IndexOf(drafted.proposer)]->end_of_drafts()->Wait().ok()) break;
    // Behind the one before.
    const TimePoint begin = std::max(drafted.begin, end);
    end = Clock::now();
    router_.ObserveProposer(drafted.proposer, drafted.passes,
                            std::chrono::duration<double>(end - begin).count());
  }
  drafted_.clear();
  return end;
}

void Drafting::ObserveCosts(const BatchPlan& plan, const StepSize& size, int num_drafts, double pass_seconds,
                            double sample_seconds) {
  if (!std::ranges::all_of(plan.items, &GetsNextToken)) return;
  router_.ObserveStep(size, pass_seconds, static_cast<int>(plan.items.size()), num_drafts, sample_seconds);
}

void Drafting::Observe(const StepOutcome& outcome, std::span<const Draft> drafts) {
  for (std::size_t i = 0; i < outcome.plan.items.size(); ++i) {
    const auto drafted = static_cast<int>(drafts[i].tokens.size());
    const Request& request = *outcome.plan.items[i].sequence->request;
    // What is taken unverified or leniently says nothing about how likely drafts are to stand.
    if (drafted == 0 || request.lenience < 1.0f) continue;
    const int accepted = static_cast<int>(outcome.accepted[i].tokens.size()) - 1;
    router_.ObserveDraft(request.id, drafts[i].proposer, drafts[i].confidence, drafted, accepted);
  }
  for (const auto& proposer : proposers_) {
    if (proposer != nullptr) proposer->Observe(outcome);
  }
}

void Drafting::Forget(RequestId id) {
  router_.Forget(id);
  for (const auto& proposer : proposers_) {
    if (proposer != nullptr) proposer->Forget(id);
  }
}

}  // namespace reprise
