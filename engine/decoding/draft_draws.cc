#include "engine/decoding/draft_draws.h"

#include <algorithm>

#include "base/check.h"
#include "engine/decoding/rule.h"

namespace reprise {

DraftDraws::DraftDraws(Backend& backend, std::span<const TokenId> head_tokens, int num_columns,
                       const DraftLimits& limits)
    : backend_(&backend),
      head_tokens_(head_tokens),
      num_columns_(num_columns),
      max_drafts_(limits.max_drafts),
      samplers_(static_cast<std::size_t>(backend.num_threads()),
                DraftSampler(limits.vocab_size, head_tokens)),
      draws_(limits.vocab_size) {}

Result<DraftDraws> DraftDraws::Create(Backend& backend, std::span<const TokenId> head_tokens, int num_columns,
                                      const DraftLimits& limits) {
  DraftDraws draws(backend, head_tokens, num_columns, limits);
  if (backend.draws_tokens()) RETURN_IF_ERROR(draws.AllocateOnDevice());
  return draws;
}

Status DraftDraws::AllocateOnDevice() {
  const auto num_drafts = static_cast<std::size_t>(max_drafts_);
  const std::size_t kept_bytes = num_drafts * static_cast<std::size_t>(num_columns_) * sizeof(float);
  const std::size_t drawn_bytes = num_drafts * sizeof(TokenId);
  ASSIGN_OR_RETURN(memory_, backend_->Allocate(kept_bytes + drawn_bytes + head_tokens_.size_bytes()));
  auto* bytes = static_cast<std::byte*>(memory_->data());
  kept_ = reinterpret_cast<float*>(bytes);
  drawn_tokens_ = reinterpret_cast<TokenId*>(bytes + kept_bytes);
  if (head_tokens_.empty()) return OkStatus();
  backend_->Upload(drawn_tokens_ + num_drafts, head_tokens_.data(), head_tokens_.size_bytes());
  device_head_tokens_ = drawn_tokens_ + num_drafts;
  return OkStatus();
}

void DraftDraws::Begin(std::span<const DraftRequest> requests) {
  num_drawn_ = num_fetched_ = 0;
  fetched_.clear();
  step_by_step_ =
      std::ranges::any_of(requests, [](const DraftRequest& request) { return request.penalties->active(); });
}

void DraftDraws::Draw(std::span<const DraftRequest* const> requests, ConstMatrixView logits,
                      std::vector<int>* unfinished) {
  if (backend_->draws_tokens()) {
    DrawOnDevice(requests, logits);
  } else {
    DrawOnHost(requests, logits);
  }
  unfinished->clear();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (has_token_[i] == 0) continue;
    const DraftRequest& request = *requests[i];
    request.penalties->Append(request.draft->tokens.back());
    if (static_cast<int>(request.draft->tokens.size()) < request.num_tokens)
      unfinished->push_back(static_cast<int>(i));
  }
}

void DraftDraws::DrawOnHost(std::span<const DraftRequest* const> requests, ConstMatrixView logits) {
  const ConstMatrixView on_host = backend_->ToHost(logits);
  has_token_.assign(requests.size(), 0);
  backend_->ParallelFor(static_cast<int>(requests.size()), 1, [&](int begin, int end, int thread) {
    for (int i = begin; i < end; ++i) {
      const std::span<const float> row(on_host.row(i), static_cast<std::size_t>(on_host.columns));
      has_token_[static_cast<std::size_t>(i)] =
          samplers_[static_cast<std::size_t>(thread)].Draw(*requests[static_cast<std::size_t>(i)], row);
    }
  });
}

void DraftDraws::DrawOnDevice(std::span<const DraftRequest* const> requests, ConstMatrixView logits) {
  REPRISE_CHECK(num_drawn_ + static_cast<int>(requests.size()) <= max_drafts_ &&
                logits.columns == num_columns_);
  draws_.Clear();
  int index = num_drawn_;
  for (const DraftRequest* request : requests) {
    Draft& draft = *request->draft;
    const Request& wish = *request->sequence->request;
    const bool kept = wish.sampling.temperature > 0.0f && RuleFor(wish) == VerificationRule::kRejection;
    RowDraw& row = draws_.Add(*request->sequence, draft.tokens.size(), *request->penalties,
                              kept ? NoiseKind::kDraft : NoiseKind::kSample);
    if (kept) {
      row.rule = DrawRule::kDraft;
      row.keep = kept_ + static_cast<std::ptrdiff_t>(index) * num_columns_;
      draft.kept.rows.push_back(row.keep);
      draft.kept.ids = device_head_tokens_;
      draft.kept.columns = num_columns_;
    }
    draft.tokens.push_back(-1 - index++);
  }
  DrawArgs args;
  args.logits = logits;
  args.rows = draws_.rows();
  args.adjustments = draws_.adjustments();
  args.ids = device_head_tokens_;
  args.tokens = drawn_tokens_ + num_drawn_;
  backend_->DrawRows(args);
  num_drawn_ = index;
  has_token_.assign(requests.size(), 1);
  if (!step_by_step_) return;
  Fetch();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::size_t size = requests[i]->draft->tokens.size();
    Resolve(requests[i]->draft);
    has_token_[i] = requests[i]->draft->tokens.size() == size;
  }
}

void DraftDraws::Fetch() {
  fetched_.resize(static_cast<std::size_t>(num_drawn_));
  if (num_drawn_ == num_fetched_) return;
  backend_->Download(fetched_.data() + num_fetched_, drawn_tokens_ + num_fetched_,
                     static_cast<std::size_t>(num_drawn_ - num_fetched_) * sizeof(TokenId));
  num_fetched_ = num_drawn_;
}

void DraftDraws::Resolve(Draft* draft) const {
  for (std::size_t i = 0; i < draft->tokens.size(); ++i) {
    TokenId& token = draft->tokens[i];
    if (token < 0) token = fetched_[static_cast<std::size_t>(-1 - token)];
    if (token >= 0) continue;
    draft->tokens.resize(i);
    return;
  }
}

void DraftDraws::Finish(std::span<const DraftRequest> requests) {
  Fetch();
  for (const DraftRequest& request : requests) {
    Resolve(request.draft);
    for (const TokenId token : request.draft->tokens) request.penalties->Remove(token);
  }
}

}  // namespace reprise
