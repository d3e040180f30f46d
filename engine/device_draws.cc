#include "engine/device_draws.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/decoding/rule.h"
#include "engine/sampler.h"

namespace reprise {
namespace {

// Makes the draw of a row judge a drafted token.
void Judge(const Sequence& sequence, const Draft& draft, std::size_t at, RowDraw* row) {
  const Request& request = *sequence.request;
  row->drafted = draft.tokens[at];
  if (draft.unverified) {
    row->rule = DrawRule::kGiven;
    return;
  }
  switch (RuleFor(request)) {
    case VerificationRule::kSharedNoise:
      return;
    case VerificationRule::kThreshold:
      row->rule = DrawRule::kThreshold;
      row->lenience = std::log(request.lenience);
      return;
    case VerificationRule::kRejection:
      row->rule = DrawRule::kRejection;
      row->lenience = request.lenience;
      row->accept_stream = NoiseStreamOf(request, sequence.tokens.size() + at, NoiseKind::kAccept);
      if (draft.kept.rows.empty()) return;  // not drawn, but looked up
      row->draft_logits = draft.kept.rows[at];
      row->draft_ids = draft.kept.ids;
      row->draft_columns = draft.kept.columns;
      return;
  }
}

}  // namespace

Result<DeviceDraws> DeviceDraws::Create(Backend& backend, const DrawnMemory& memory, int max_rows,
                                        int vocab_size) {
  ASSIGN_OR_RETURN(std::unique_ptr<Readback> readback, backend.NewReadback(DrawnMemory::Bytes(max_rows)));
  return DeviceDraws(backend, memory, std::move(readback), vocab_size);
}

void DeviceDraws::Start(const BatchPlan& plan, std::span<const Draft> drafts,
                        std::span<const PenaltyState* const> penalties, std::span<const int> row_start,
                        ConstMatrixView logits) {
  draws_.Clear();
  num_scores_ = 0;
  for (std::size_t i = 0; i < plan.items.size(); ++i)
    AddItem(plan.items[i], drafts[i], row_start[i + 1] - row_start[i], *penalties[i]);
  const std::size_t num_rows = draws_.rows().size();
  TokenId* const tokens = memory_.ids() + memory_.first_row();
  if (num_rows > 0) {
    DrawArgs args = draws_.Args(logits, memory_.ids());
    args.tokens = tokens;
    args.scores = reinterpret_cast<TokenScore*>(tokens + num_rows);
    backend_->DrawRows(args);
  }
  const bool any_drafted = std::ranges::any_of(drafts, [](const Draft& draft) {
    return std::ranges::any_of(draft.tokens, [](TokenId token) { return token < 0; });
  });
  first_id_ = any_drafted ? 0 : memory_.first_row();
  const std::size_t num_ids = static_cast<std::size_t>(memory_.first_row() - first_id_) + num_rows;
  readback_->Start(memory_.ids() + first_id_,
                   num_ids * sizeof(TokenId) + static_cast<std::size_t>(num_scores_) * sizeof(TokenScore));
}

void DeviceDraws::Resolve(std::span<Draft> drafts) const {
  for (Draft& draft : drafts) {
    for (TokenId& token : draft.tokens) {
      if (token < 0) token = read_ids()[DrawnMemory::IndexOfStandIn(token)];
    }
  }
}

void DeviceDraws::AddItem(const ScheduledSequence& item, const Draft& draft, int num_rows,
                          const PenaltyState& penalties) {
  const Sequence& sequence = *item.sequence;
  const std::size_t num_drafted = draft.tokens.size();
  int num_draft_rows = 0;
  if (item.reaches_end && sequence.request->max_tokens > 0)
    num_draft_rows = std::min(1 + static_cast<int>(num_drafted), num_rows);
  for (int row = 0; row < num_rows - num_draft_rows; ++row) AddPromptRow(item, row);
  // The rows that are there are the last ones.
  const std::size_t first = num_drafted + 1 - static_cast<std::size_t>(num_draft_rows);
  for (std::size_t at = first; at <= num_drafted; ++at) AddDraftRow(sequence, draft, at, penalties);
}

void DeviceDraws::AddPromptRow(const ScheduledSequence& item, int row) {
  const Request& request = *item.sequence->request;
  const int position = item.sequence->num_computed + item.num_tokens - item.num_logit_rows + row + 1;
  if (position >= static_cast<int>(request.prompt.size())) {
    draws_.AddNone();
  } else {
    AskForScores(request.prompt_logprobs,
                 &draws_.AddGiven(request.prompt[static_cast<std::size_t>(position)]));
  }
}

void DeviceDraws::AddDraftRow(const Sequence& sequence, const Draft& draft, std::size_t at,
                              const PenaltyState& penalties) {
  RowDraw& row = draws_.Add(sequence, std::span(draft.tokens).first(at), penalties);
  if (at < draft.tokens.size()) Judge(sequence, draft, at, &row);
  AskForScores(sequence.request->sampling.num_logprobs, &row);
}

void DeviceDraws::AskForScores(int num_logprobs, RowDraw* row) {
  row->num_logprobs = num_logprobs;
  row->first_score = num_scores_;
  num_scores_ += 1 + num_logprobs;
}

Status DeviceDraws::Accept(const Sequence& sequence, const Draft& draft, int num_rows, int end_row,
                           std::vector<GeneratedToken>* accepted) const {
  const auto num_drafted = static_cast<int>(draft.tokens.size());
  for (int i = 0; i <= num_drafted; ++i) {
    const int from_end = num_drafted + 1 - i;
    const auto drafted = [&] { return draft.tokens[static_cast<std::size_t>(i)]; };
    GeneratedToken token = from_end > num_rows ? GeneratedToken{drafted(), 0.0f, 0, {}}  // taken as it is
                                               : TokenOf(end_row - from_end);
    if (token.token < 0) return NoFiniteLogit(sequence.num_known() + i);
    accepted->push_back(std::move(token));
    if (i < num_drafted && accepted->back().token != drafted()) break;
  }
  return OkStatus();
}

GeneratedToken DeviceDraws::TokenOf(int row) const {
  const RowDraw& draw = draws_.rows()[static_cast<std::size_t>(row)];
  const TokenId* tokens = read_ids() + memory_.first_row();
  GeneratedToken result{tokens[row], 0.0f, 0, {}};
  if (draw.num_logprobs < 0) return result;
  const auto* all_scores = reinterpret_cast<const TokenScore*>(tokens + draws_.rows().size());
  const std::span scores(all_scores + draw.first_score, static_cast<std::size_t>(1 + draw.num_logprobs));
  result.logprob = scores[0].logprob;
  result.rank = scores[0].rank;
  for (const TokenScore& score : scores.subspan(1)) {
    if (score.token >= 0) result.top.push_back({score.token, score.logprob, score.rank});
  }
  return result;
}

}  // namespace reprise
