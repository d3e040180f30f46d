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
      drawn_(limits.drawn),
      first_drawn_(limits.first_drawn),
      draws_(limits.vocab_size) {}

Result<DraftDraws> DraftDraws::Create(Backend& backend, std::span<const TokenId> head_tokens, int num_columns,
                                      const DraftLimits& limits) {
  DraftDraws draws(backend, head_tokens, num_columns, limits);
  if (backend.draws_tokens()) RETURN_IF_ERROR(draws.AllocateOnDevice());
  return draws;
}

Status DraftDraws::AllocateOnDevice() {
  REPRISE_CHECK(drawn_ != nullptr);
  ASSIGN_OR_RETURN(end_, backend_->NewReadback(sizeof(TokenId)));
  const std::size_t kept_bytes =
      static_cast<std::size_t>(max_drafts_) * static_cast<std::size_t>(num_columns_) * sizeof(float);
  ASSIGN_OR_RETURN(memory_, backend_->Allocate(kept_bytes + head_tokens_.size_bytes()));
  auto* bytes = static_cast<std::byte*>(memory_->data());
  kept_ = reinterpret_cast<float*>(bytes);
  if (head_tokens_.empty()) return OkStatus();
  backend_->Upload(bytes + kept_bytes, head_tokens_.data(), head_tokens_.size_bytes());
  device_head_tokens_ = reinterpret_cast<const TokenId*>(bytes + kept_bytes);
  return OkStatus();
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
    const DraftRequest& request = *requests[i];
    if (has_token_[i] != 0 && static_cast<int>(request.draft->tokens.size()) < request.num_tokens)
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
  // The draft so far counts for its next token.
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (has_token_[i] != 0) requests[i]->penalties->Append(requests[i]->draft->tokens.back());
  }
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
    RowDraw& row = draws_.Add(*request->sequence, draft.tokens, *request->penalties,
                              kept ? NoiseKind::kDraft : NoiseKind::kSample);
    if (kept) {
      row.rule = DrawRule::kDraft;
      row.keep = kept_ + static_cast<std::ptrdiff_t>(index) * num_columns_;
      draft.kept.rows.push_back(row.keep);
      draft.kept.ids = device_head_tokens_;
      draft.kept.columns = num_columns_;
    }
    draft.tokens.push_back(-1 - (first_drawn_ + index++));
  }
  DrawArgs args = draws_.Args(logits, drawn_);
  args.ids = device_head_tokens_;
  args.tokens = drawn_ + first_drawn_ + num_drawn_;
  backend_->DrawRows(args);
  num_drawn_ = index;
  has_token_.assign(requests.size(), 1);
}

void DraftDraws::Finish(std::span<const DraftRequest> requests) {
  if (end_ != nullptr) {
    end_->Start(nullptr, 0);
    return;
  }
  for (const DraftRequest& request : requests) {
    for (const TokenId token : request.draft->tokens) request.penalties->Remove(token);
  }
}

}  // namespace reprise
