#include "scheduler_simulation.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/noise.h"

namespace reprise {
namespace {

constexpr int kVocabulary = 40;

std::uint64_t ExtendPrefix(std::uint64_t prefix, TokenId token) {
  return MixBits(prefix ^ static_cast<std::uint32_t>(token + 1));
}

bool IsStop(const Request& request, TokenId token) {
  return std::ranges::find(request.stop_token_ids, token) != request.stop_token_ids.end();
}

// The toy model and sampler: one certain next token for every prefix, stop tokens masked up to min_tokens.
TokenId NextToken(const Request& request, std::uint64_t prefix, int num_generated) {
  auto token = static_cast<TokenId>(MixBits(prefix) % kVocabulary);
  while (num_generated < request.min_tokens && IsStop(request, token)) token = (token + 1) % kVocabulary;
  return token;
}

std::vector<TokenId> GenerateAlone(const Request& request) {
  std::vector<TokenId> tokens = request.prompt;
  std::uint64_t prefix = 0;
  for (const TokenId token : tokens) prefix = ExtendPrefix(prefix, token);
  for (int i = 0; i < request.max_tokens; ++i) {
    tokens.push_back(NextToken(request, prefix, i));
    if (IsStop(request, tokens.back())) break;
    prefix = ExtendPrefix(prefix, tokens.back());
  }
  return tokens;
}

}  // namespace

Simulation::Simulation(const SchedulerConfig& config, std::uint32_t seed, int max_draft_tokens,
                       bool plan_ahead)
    : config_(config),
      seed_(seed),
      max_draft_tokens_(max_draft_tokens),
      plan_ahead_(plan_ahead),
      random_(seed),
      scheduler_(config),
      kv_(static_cast<std::size_t>(config.num_blocks) * static_cast<std::size_t>(config.block_size)) {}

void Simulation::Expect(bool condition, const std::string& invariant) const {
  if (!condition) FAIL(invariant << " (seed " << seed_ << ", step " << counts_.steps << ")");
}

void Simulation::Submit(const Request& request) {
  const Status status = scheduler_.Admit(std::make_shared<const Request>(request));
  const bool fits = static_cast<int>(request.prompt.size()) + request.max_tokens <= config_.max_model_len;
  Expect(status.ok() == fits, "S24: exactly what can fit is admitted");
  if (!fits) return;
  Live live{request, GenerateAlone(request), {}, {}};
  std::uint64_t prefix = 0;
  for (const TokenId token : live.expected) live.prefixes.push_back(prefix = ExtendPrefix(prefix, token));
  live_.emplace(request.id, std::move(live));
  counts_.held_choices += IsHeld(*scheduler_.Find(request.id));
}

void Simulation::Cancel(RequestId id) {
  Expect(scheduler_.Finish(id), "S23: a live request can be finished");
  Expect(scheduler_.Find(id) == nullptr && !scheduler_.Finish(id), "S23: a finished request is gone");
  EndLive(id);
  ++counts_.cancelled;
  CheckBlocks();
}

void Simulation::EndLive(RequestId id) {
  past_.insert(live_.extract(id));
}

void Simulation::CancelAny() {
  if (live_.empty()) return;
  Cancel(std::next(live_.begin(), Random(0, static_cast<int>(live_.size()) - 1))->first);
}

void Simulation::CheckIdle() const {
  Expect(live_.empty() && scheduler_.num_waiting() == 0 && scheduler_.num_running() == 0,
         "S24: every admitted request ends");
  Expect(scheduler_.block_pool().num_free() == config_.num_blocks, "S3: at rest every block is free");
}

// A choice that has to wait for the prompt of its group's first.
bool Simulation::IsHeld(const Sequence& sequence) const {
  const Request& request = *sequence.request;
  if (request.choice == 0) return false;
  const Sequence* leader = scheduler_.Find(request.group);
  return leader != nullptr && leader->num_generated() == 0;
}

Simulation::Before Simulation::Snapshot() const {
  Before before;
  for (const auto& [id, live] : live_) {
    const Sequence* sequence = scheduler_.Find(id);
    if (sequence->running) {
      before.running.push_back(sequence);
      if (sequence->num_pending() == 1 && !sequence->complete()) before.decodes.insert(sequence);
    } else if (!IsHeld(*sequence)) {
      before.waiting.push_back(sequence);
    }
  }
  const auto in_order = [](const Sequence* a, const Sequence* b) { return ComesBefore(*a, *b); };
  std::ranges::sort(before.running, in_order);
  std::ranges::sort(before.waiting, in_order);
  return before;
}

void Simulation::CheckBlocks() {
  const BlockPool& pool = scheduler_.block_pool();
  std::map<BlockId, std::vector<std::pair<const Sequence*, int>>> holders;  // sequence, index in its table
  std::set<const Sequence*> holding;
  for (const auto& [id, live] : live_) {
    const Sequence* sequence = scheduler_.Find(id);
    Expect(sequence->running || sequence->block_table.empty(), "S13: only running sequences hold blocks");
    holding.insert(sequence);
  }
  for (const Launched& step : in_flight_) {
    for (const ScheduledSequence& item : step.plan.items) holding.insert(item.sequence);
    for (const auto& [block, generation] : step.blocks) {
      Expect(pool.ref_count(block) > 0 && pool.generation(block) == generation,
             "S25: blocks stay while a step in flight may write them");
    }
  }
  for (const Sequence* sequence : holding) {
    for (std::size_t i = 0; i < sequence->block_table.size(); ++i) {
      holders[sequence->block_table[i]].emplace_back(sequence, static_cast<int>(i));
    }
  }
  Expect(pool.num_used() == static_cast<int>(holders.size()), "S1: used blocks are those in tables");
  Expect(pool.num_used() + pool.num_free() == config_.num_blocks, "S1: used + free = total");
  for (BlockId block = 0; block < config_.num_blocks; ++block) {
    const auto held = holders.find(block);
    const std::size_t count = held == holders.end() ? 0 : held->second.size();
    Expect(pool.ref_count(block) == static_cast<int>(count), "S2: references count the tables");
    if (count > 1) CheckSharing(block, held->second);
  }
}

void Simulation::CheckSharing(BlockId block, const std::vector<std::pair<const Sequence*, int>>& holders) {
  ++counts_.shared_blocks;
  const int index = holders.front().second;
  const int end = (index + 1) * config_.block_size;
  const auto last = static_cast<std::size_t>(end) - 1;
  const auto prefix_of = [&](const Sequence* sequence) {
    const RequestId id = sequence->request->id;
    return (live_.contains(id) ? live_ : past_).at(id).prefixes[last];
  };
  const std::uint64_t prefix = prefix_of(holders.front().first);
  for (const auto& [sequence, own_index] : holders) {
    Expect(own_index == index && sequence->num_computed >= end, "S4: only full blocks are shared");
    Expect(prefix_of(sequence) == prefix, "S4: shared blocks have one content");
  }
  Expect(block >= 0 && block < config_.num_blocks, "S4: blocks exist");
}

void Simulation::CheckPlan(const Before& before, const BatchPlan& plan, bool ahead) {
  Expect(plan.empty() == scheduler_.idle() || ahead, "S11: a plan is never empty while work remains");
  Expect(!ahead || plan.num_preempted == 0, "S26: a plan ahead takes blocks from nobody");
  int num_tokens = 0, num_rows = 0;
  std::set<const Sequence*> planned;
  for (const ScheduledSequence& item : plan.items) {
    CheckItem(item);
    Expect(planned.insert(item.sequence).second, "S9: a sequence has one share");
    num_tokens += item.num_tokens;
    num_rows += item.num_logit_rows;
    counts_.partial_chunks += !item.reaches_end;
  }
  Expect(num_tokens == plan.num_tokens && num_rows == plan.num_logit_rows, "S9: the totals are the sums");
  Expect(plan.num_tokens + plan.token_budget_left == config_.max_num_batched_tokens, "S9: budget");
  Expect(plan.token_budget_left >= 0, "S9: tokens of a step");
  Expect(num_rows <= config_.max_num_logit_rows, "S9: logit rows of a step");
  Expect(scheduler_.num_running() <= config_.max_num_seqs, "S9: sequences of a step");
  if (ahead && plan.empty()) {
    counts_.held_back += !before.decodes.empty();
  } else {
    for (const Sequence* sequence : before.decodes) {
      Expect(planned.contains(sequence) || !sequence->running, "S10: no decode waits");
    }
    const auto first = std::ranges::find_if(before.running, [](auto* s) { return !s->complete(); });
    Expect(first == before.running.end() || planned.contains(*first),
           "S11: the first in order gets its tokens");
  }
  if (ahead) counts_.starts_ahead += scheduler_.num_running() - static_cast<int>(before.running.size());
  CheckPreemption(before, plan);
  CheckStarts(before);
  CheckBlocks();
}

void Simulation::CheckItem(const ScheduledSequence& item) const {
  const Sequence& sequence = *item.sequence;
  Expect(sequence.running && !sequence.complete(), "S9: planned sequences are running");
  Expect(item.num_tokens > 0 && item.num_tokens <= sequence.num_pending(), "S8: something is computed");
  Expect(item.reaches_end == (item.num_tokens == sequence.num_pending()), "S9: reaches_end");
  const bool scores = sequence.request->prompt_logprobs >= 0 && sequence.num_generated() == 0;
  Expect(item.num_logit_rows == (scores ? item.num_tokens : item.reaches_end), "S18: rows of a chunk");
  Expect(!scores || sequence.num_cached_prompt_tokens == 0,
         "S18: prompt log-probabilities compute the prompt");
  const int end = sequence.num_computed + item.num_tokens;
  Expect(static_cast<int>(sequence.block_table.size()) * config_.block_size >= end,
         "S4: every token has a slot");
}

void Simulation::CheckPreemption(const Before& before, const BatchPlan& plan) const {
  int preempted = 0;
  for (std::size_t i = 0; i < before.running.size(); ++i) {
    if (!before.running[i]->running) {
      ++preempted;
    } else {
      Expect(preempted == 0, "S12: victims are the last in order");
    }
  }
  Expect(preempted == plan.num_preempted, "S12: preemptions are counted");
}

void Simulation::CheckStarts(const Before& before) const {
  bool left_waiting = false;
  for (const Sequence* sequence : before.waiting) {
    left_waiting |= !sequence->running;
    Expect(!left_waiting || !sequence->running, "S14: sequences start in order");
  }
  for (const auto& [id, live] : live_) {
    const Sequence* sequence = scheduler_.Find(id);
    Expect(!IsHeld(*sequence) || !sequence->running, "S17: choices wait for choice 0");
  }
}

void Simulation::ReserveDrafts(BatchPlan* plan) {
  const Before before = Snapshot();
  std::map<const Sequence*, std::size_t> table_sizes;
  for (const Sequence* sequence : before.running) table_sizes[sequence] = sequence->block_table.size();
  std::vector<int> wanted;
  for (std::size_t i = 0; i < plan->items.size(); ++i) wanted.push_back(Random(0, max_draft_tokens_));
  scheduler_.ReserveDrafts(plan, wanted);

  Expect(Snapshot().running == before.running, "S19: drafts never preempt");
  Expect(plan->token_budget_left >= 0 && plan->num_logit_rows <= config_.max_num_logit_rows,
         "S19: left-overs");
  Expect(plan->num_tokens + plan->token_budget_left == config_.max_num_batched_tokens, "S19: budget");
  for (std::size_t i = 0; i < plan->items.size(); ++i) {
    const ScheduledSequence& item = plan->items[i];
    const Sequence& sequence = *item.sequence;
    const int drafts = item.num_draft_tokens;
    table_sizes.erase(&sequence);
    Expect(drafts >= 0 && drafts <= wanted[i], "S19: no more than was wanted");
    if (drafts == 0) continue;
    Expect(item.reaches_end, "S19: drafts follow a chunk that reaches the end");
    Expect(sequence.num_generated() + drafts + 1 <= sequence.request->max_tokens, "S19: drafts are of use");
    const int end = static_cast<int>(sequence.tokens.size()) + drafts;
    Expect(static_cast<int>(sequence.block_table.size()) * config_.block_size >= end,
           "S19: drafts have slots");
  }
  for (const auto& [sequence, size] : table_sizes) {
    Expect(sequence->block_table.size() == size, "S19: drafts take from nobody");
  }
  CheckBlocks();
}

// Every position the chunk attends to must hold the keys and values of exactly this sequence's prefix.
void Simulation::ReadContext(const ScheduledSequence& item, const Live& live) const {
  const Sequence& sequence = *item.sequence;
  for (int p = 0; p < sequence.num_computed; ++p) {
    const KvEntry& entry = kv_[static_cast<std::size_t>(sequence.Slot(p, config_.block_size))];
    Expect(entry.position == p && entry.prefix == live.prefixes[static_cast<std::size_t>(p)],
           "S4: a sequence reads its own prefix");
  }
}

// Forward pass, drafting and verification of one item.
AcceptedTokens Simulation::Run(const ScheduledSequence& item) {
  const Sequence& sequence = *item.sequence;
  Live& live = live_.at(sequence.request->id);
  const auto write = [&](int position, std::uint64_t prefix) {
    kv_[static_cast<std::size_t>(sequence.Slot(position, config_.block_size))] = {position, prefix};
  };
  ReadContext(item, live);
  const int end = sequence.num_computed + item.num_tokens;
  for (int p = sequence.num_computed; p < end; ++p) write(p, live.prefixes[static_cast<std::size_t>(p)]);
  for (int p = end - item.num_logit_rows; p < end; ++p) live.scored.insert(p);
  if (sequence.request->prompt_logprobs >= 0) counts_.prompt_rows += item.num_logit_rows;

  AcceptedTokens accepted;
  if (!item.reaches_end || sequence.request->max_tokens == 0) return accepted;
  std::uint64_t prefix = live.prefixes[sequence.tokens.size() - 1];
  int num_generated = sequence.num_generated();
  accepted.tokens.push_back(NextToken(live.request, prefix, num_generated));
  // The proposer may use less than it reserved.
  const int num_drafts = item.num_draft_tokens == 0 ? 0 : Random(0, item.num_draft_tokens);
  std::uint64_t draft_prefix = prefix;
  bool stands = true;
  for (int k = 0; k < num_drafts; ++k) {
    const bool right = Random(0, 3) > 0;
    const TokenId truth = accepted.tokens.back();
    const TokenId draft = right ? truth : (truth + 1) % kVocabulary;
    draft_prefix = ExtendPrefix(draft_prefix, draft);
    write(end + k, draft_prefix);
    stands = stands && right;
    if (stands) accepted.tokens.push_back(NextToken(live.request, draft_prefix, ++num_generated));
    ++(stands ? counts_.accepted_drafts : counts_.rejected_drafts);
  }
  return accepted;
}

void Simulation::CheckOutcome(const ScheduledSequence& item, const AcceptedTokens& accepted,
                              const CommitOutcome& outcome) {
  const Sequence& sequence = *item.sequence;
  const RequestId id = sequence.request->id;
  const Live& live = live_.at(id);
  Expect(outcome.num_kept <= static_cast<int>(accepted.tokens.size()), "S21: kept tokens are accepted ones");
  Expect(std::ranges::equal(sequence.tokens, std::span(live.expected).first(sequence.tokens.size())),
         "S13: the tokens are those of the request alone");
  if (sequence.num_generated() > 0 && live.request.prompt_logprobs >= 0) {
    Expect(static_cast<int>(live.scored.size()) >= sequence.num_prompt_tokens(),
           "S18: every prompt token had a logit row");
  }
  const bool at_end = item.reaches_end && sequence.tokens.size() == live.expected.size();
  const bool stopped = at_end && sequence.num_generated() > 0 && IsStop(live.request, sequence.tokens.back());
  const FinishReason reason =
      !at_end ? FinishReason::kNone : (stopped ? FinishReason::kStop : FinishReason::kLength);
  Expect(outcome.finish_reason == reason, "S21: it ends where it would alone");
  if (reason != FinishReason::kNone) {
    Expect(scheduler_.Find(id) == nullptr && (sequence.block_table.empty() || sequence.num_in_flight > 0),
           "S23: ended means released");
    EndLive(id);
    ++counts_.finished;
    return;
  }
  Expect(sequence.num_pending() >= 1, "S8: something is left to compute");
  const int blocks = (sequence.num_computed + config_.block_size - 1) / config_.block_size;
  Expect(static_cast<int>(sequence.block_table.size()) == blocks || sequence.num_in_flight > 0,
         "S20: rejected drafts keep no block");
}

// With stand-ins for the tokens, which nothing may take for tokens.
void Simulation::CommitAhead(Launched* step) {
  step->overtaken = true;
  ++counts_.overtaken;
  std::vector<TokenId> stand_ins;
  for (std::size_t i = 0; i < step->plan.items.size(); ++i) stand_ins.push_back(-1 - static_cast<TokenId>(i));
  scheduler_.CommitAhead(step->plan, stand_ins);
  for (std::size_t i = 0; i < step->plan.items.size(); ++i) {
    const ScheduledSequence& item = step->plan.items[i];
    if (item.sequence->ended) continue;
    Expect(!item.reaches_end || item.sequence->tokens.back() == stand_ins[i], "S26: tokens have stand-ins");
    Expect(item.sequence->num_computed <= item.sequence->num_known(), "S26: no stand-in has been computed");
  }
  CheckBlocks();
}

bool Simulation::MayBeOvertaken(const BatchPlan& plan) const {
  return std::ranges::all_of(plan.items, [](const ScheduledSequence& item) {
    const Request& request = *item.sequence->request;
    const bool scores = request.prompt_logprobs >= 0 && item.sequence->num_generated() == 0;
    return item.num_draft_tokens == 0 && !scores && request.max_tokens > 0;
  });
}

bool Simulation::Start(bool ahead) {
  const Before before = Snapshot();
  BatchPlan plan = scheduler_.Plan();
  CheckPlan(before, plan, ahead);
  counts_.preemptions += plan.num_preempted;
  counts_.prefix_hits += plan.prefix_hits;
  if (plan.empty() && ahead) return false;
  if (!ahead && !(plan_ahead_ && Random(0, 1) > 0)) ReserveDrafts(&plan);
  Launched& step = in_flight_.emplace_back(Launched{std::move(plan), {}, {}, false});
  for (const ScheduledSequence& item : step.plan.items) {
    step.accepted.push_back(Run(item));
    for (const BlockId block : item.sequence->block_table)
      step.blocks.emplace_back(block, scheduler_.block_pool().generation(block));
  }
  return true;
}

void Simulation::Finish() {
  const Launched step = std::move(in_flight_.front());
  in_flight_.pop_front();
  std::vector<bool> ended;
  for (const ScheduledSequence& item : step.plan.items) ended.push_back(item.sequence->ended);
  const std::vector<CommitOutcome> outcomes = step.overtaken ? scheduler_.Resolve(step.plan, step.accepted)
                                                             : scheduler_.Commit(step.plan, step.accepted);
  Expect(outcomes.size() == step.plan.items.size(), "S21: an outcome for each item");
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (!ended[i]) {
      CheckOutcome(step.plan.items[i], step.accepted[i], outcomes[i]);
      continue;
    }
    ++counts_.dropped_rows;
    Expect(outcomes[i].num_kept == 0 && outcomes[i].finish_reason == FinishReason::kNone,
           "S25: nothing comes of requests that have ended");
  }
  CheckBlocks();
  ++counts_.steps;
}

void Simulation::Step() {
  const bool ahead = !in_flight_.empty();
  if (ahead) CommitAhead(&in_flight_.front());
  const bool started = Start(ahead);
  if (ahead) Finish();
  if (!started) return;
  if (!plan_ahead_ || !MayBeOvertaken(in_flight_.front().plan) || Random(0, 1) == 0) Finish();
}

}  // namespace reprise
