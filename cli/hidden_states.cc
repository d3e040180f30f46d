#include "cli/hidden_states.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace reprise {
namespace {

constexpr int kBlockSize = 16;

int BlocksFor(std::size_t tokens) {
  return static_cast<int>((tokens + kBlockSize - 1) / kBlockSize);
}

// A step that computes each sequence from its beginning, with blocks handed out in order.
struct Step {
  std::vector<TokenId> token_ids;
  std::vector<int> positions, slots, query_start{0}, context_len, block_start{0};
  std::vector<BlockId> block_ids;

  void Add(std::span<const TokenId> sequence) {
    const int first_slot = static_cast<int>(block_ids.size()) * kBlockSize;
    for (std::size_t i = 0; i < sequence.size(); ++i) {
      positions.push_back(static_cast<int>(i));
      slots.push_back(first_slot + static_cast<int>(i));
    }
    for (int i = 0; i < BlocksFor(sequence.size()); ++i)
      block_ids.push_back(static_cast<BlockId>(block_ids.size()));
    token_ids.insert(token_ids.end(), sequence.begin(), sequence.end());
    context_len.push_back(0);
    query_start.push_back(static_cast<int>(token_ids.size()));
    block_start.push_back(static_cast<int>(block_ids.size()));
  }

  BatchView View() const {
    return {token_ids, positions, slots, query_start, context_len, block_start, block_ids, {}};
  }
};

}  // namespace

Result<HiddenStates> HiddenStates::Create(Backend& backend, Decoder& decoder, int step_tokens) {
  RETURN_IF_ERROR(decoder.Reserve(step_tokens, /*max_logit_rows=*/1));
  KvGeometry geometry = decoder.kv_geometry();
  geometry.block_size = kBlockSize;
  geometry.num_blocks = step_tokens;  // a sequence has a token at least, and so a block
  const std::vector<KvGeometry> layers(static_cast<std::size_t>(decoder.num_layers()), geometry);
  ASSIGN_OR_RETURN(KvCache cache, KvCache::Allocate(backend, layers, /*poison=*/false));
  return HiddenStates(backend, decoder, step_tokens, std::move(cache));
}

std::size_t HiddenStates::Fitting(std::span<const std::span<const TokenId>> sequences) const {
  std::size_t tokens = 0, count = 0;
  while (count < sequences.size() &&
         tokens + sequences[count].size() <= static_cast<std::size_t>(step_tokens_))
    tokens += sequences[count++].size();
  return count;
}

Result<std::span<const float>> HiddenStates::Compute(std::span<const std::span<const TokenId>> sequences) {
  Step step;
  for (const std::span<const TokenId> sequence : sequences) step.Add(sequence);
  REPRISE_CHECK(static_cast<int>(step.token_ids.size()) <= step_tokens_);
  const ConstMatrixView hidden = decoder_->Forward(step.View(), cache_.layers()).hidden;
  hidden_.resize(static_cast<std::size_t>(hidden.rows) * hidden.columns);
  backend_->Download(hidden_.data(), hidden.data, hidden_.size() * sizeof(float));
  RETURN_IF_ERROR(backend_->Synchronize());
  if (!std::ranges::all_of(hidden_, [](float value) { return std::isfinite(value); })) {
    return Internal("the model produced hidden states that are not finite: are its weights finite?");
  }
  return std::span<const float>(hidden_);
}

}  // namespace reprise
