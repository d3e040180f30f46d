#include "server/generation_call.h"

#include <algorithm>
#include <utility>

#include "server/metrics/metrics.h"

namespace reprise {
namespace {

bool Contains(const std::vector<TokenId>& ids, TokenId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

GenerationCall::GenerationCall(CallPlan plan, std::vector<std::shared_ptr<TokenStream>> streams)
    : plan_(std::move(plan)), num_live_(static_cast<int>(streams.size())) {
  choices_.reserve(streams.size());
  for (auto& stream : streams) {
    const Request& request = stream->request();
    Choice& choice = choices_.emplace_back(std::move(stream), TextStream(*plan_.tokenizer, plan_.text));
    choice.text.Prime(request.prompt);
    choice.delta.index = static_cast<int>(choices_.size()) - 1;
    if (plan_.echo.empty()) continue;
    choice.delta.text = plan_.echo[static_cast<std::size_t>(choice.delta.index / plan_.choices_per_prompt)];
    choice.echo_characters = CountCharacters(choice.delta.text);
  }
}

GenerationCall::~GenerationCall() {
  Cancel();
  for (const Choice& choice : choices_) {
    if (!choice.ended) plan_.metrics->EndCall(choice.stream->request().id, choice.finish_reason);
  }
}

void GenerationCall::Listen(std::function<void()> on_ready) {
  bell_->on_ready = std::move(on_ready);
  for (Choice& choice : choices_) {
    choice.stream->SetListener([bell = bell_] {
      if (!bell->rung.exchange(true)) bell->on_ready();
    });
  }
}

void GenerationCall::Poll() {
  bell_->rung = false;
  for (Choice& choice : choices_) {
    if (choice.ended) continue;
    TokenBatch batch = choice.stream->Take();
    if (!batch.prompt.empty()) TakePrompt(&choice, std::move(batch.prompt));
    for (GeneratedToken& token : batch.tokens) TakeToken(&choice, std::move(token));
    if (batch.finished) EndChoice(&choice, batch);
  }
}

// Log-probabilities of an echoed prompt.
void GenerationCall::TakePrompt(Choice* choice, std::vector<GeneratedToken> prompt) {
  if (plan_.echo.empty() || !plan_.want_tokens) return;
  TextStream text(*plan_.tokenizer, {.stop = {}, .skip_special_tokens = plan_.text.skip_special_tokens});
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    const int offset = text.num_characters();
    text.Append(prompt[i].token);
    choice->delta.tokens.push_back({std::move(prompt[i]), i > 0, offset});
  }
}

void GenerationCall::TakeToken(Choice* choice, GeneratedToken token) {
  if (choice->closed()) return;
  ++choice->num_tokens;
  const TokenId id = token.token;
  if (plan_.want_tokens) {
    choice->delta.tokens.push_back(
        {std::move(token), true, choice->echo_characters + choice->text.num_characters()});
  }
  // A token that ends the text is not part of it, unless stops are wanted in it.
  if (Contains(choice->stream->request().stop_token_ids, id) && !plan_.text.include_stop) return;
  choice->delta.text += choice->text.Append(id);
  if (!choice->text.stopped()) return;
  choice->delta.stop_string = choice->text.stop_string();
  Close(choice, FinishReason::kStop);
  plan_.engine->Cancel(choice->stream->request().id);
}

void GenerationCall::EndChoice(Choice* choice, const TokenBatch& batch) {
  choice->ended = true;
  choice->stats = batch.stats;
  --num_live_;
  if (!choice->closed()) CloseAtEnd(choice, batch);
  plan_.metrics->EndCall(choice->stream->request().id, choice->finish_reason);
  if (finished()) FailIfTimedOutEmpty();
}

void GenerationCall::FailIfTimedOutEmpty() {
  if (!std::ranges::all_of(choices_, &Choice::timed_out_empty) || !status_.ok()) return;
  status_ = Status(StatusCode::kDeadlineExceeded,
                   "the time of 'timeout_s' was up before a token had been generated", "timeout_s");
  for (Choice& choice : choices_) TakeDelta(&choice);
}

void GenerationCall::CloseAtEnd(Choice* choice, const TokenBatch& batch) {
  if (!batch.status.ok() && status_.ok()) status_ = batch.status;
  choice->delta.text += choice->text.Finish();
  if (choice->text.stopped()) {
    choice->delta.stop_string = choice->text.stop_string();
    Close(choice, FinishReason::kStop);
    return;
  }
  if (batch.finish_reason == FinishReason::kStop && !batch.tokens.empty()) {
    const TokenId last = batch.tokens.back().token;
    if (Contains(plan_.stop_token_ids, last)) choice->delta.stop_token = last;
  }
  Close(choice, batch.finish_reason);
}

void GenerationCall::Close(Choice* choice, FinishReason reason) {
  choice->finish_reason = reason;
  choice->delta.finish_reason = reason;
}

ChoiceDelta GenerationCall::TakeDelta(Choice* choice) {
  ChoiceDelta delta = std::exchange(choice->delta, ChoiceDelta());
  choice->delta.index = delta.index;
  return delta;
}

std::vector<ChoiceDelta> GenerationCall::TakeDeltas() {
  std::vector<ChoiceDelta> deltas;
  for (Choice& choice : choices_) {
    if (HasNews(choice)) deltas.push_back(TakeDelta(&choice));
  }
  return deltas;
}

bool GenerationCall::HasDeltas() const {
  return std::ranges::any_of(choices_, [this](const Choice& choice) { return HasNews(choice); });
}

// An end without a token waits for the other choices': if they are all like it, the call is an error instead.
bool GenerationCall::HasNews(const Choice& choice) const {
  return !choice.delta.empty() && (finished() || !choice.timed_out_empty());
}

Usage GenerationCall::usage() const {
  Usage usage;
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    const Choice& choice = choices_[i];
    usage.completion_tokens += choice.num_tokens;
    if (i % static_cast<std::size_t>(plan_.choices_per_prompt) != 0) continue;
    usage.prompt_tokens += static_cast<int>(choice.stream->request().prompt.size());
    usage.cached_tokens += choice.stats.num_cached_tokens;
  }
  return usage;
}

CallMetrics GenerationCall::metrics() const {
  std::vector<RequestStats> stats;
  int num_tokens = 0;
  for (const Choice& choice : choices_) {
    stats.push_back(choice.stats);
    num_tokens += choice.num_tokens;
  }
  return SummarizeCall(stats, num_tokens);
}

void GenerationCall::Cancel() {
  for (const Choice& choice : choices_) {
    if (!choice.ended) plan_.engine->Cancel(choice.stream->request().id);
  }
}

}  // namespace reprise
