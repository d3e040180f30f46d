#include "engine/decoding/prompt_lookup.h"

#include <algorithm>

#include "base/noise.h"
#include "engine/decoding/rule.h"

namespace reprise {
namespace {

// Of the `length` tokens before position `end`.
std::uint64_t HashRun(std::span<const TokenId> tokens, int end, int length) {
  std::uint64_t hash = static_cast<std::uint64_t>(length);
  for (int i = end - length; i < end; ++i) {
    hash = MixBits(hash ^ static_cast<std::uint32_t>(tokens[static_cast<std::size_t>(i)]));
  }
  return hash;
}

bool SameRun(std::span<const TokenId> tokens, int a, int b, int length) {
  const auto run = [&](int end) {
    return tokens.subspan(static_cast<std::size_t>(end - length), static_cast<std::size_t>(length));
  };
  return std::ranges::equal(run(a), run(b));
}

}  // namespace

std::optional<PromptLookupProposer::Match> PromptLookupProposer::FindMatch(const Sequence& sequence) {
  const auto tokens = std::span(sequence.tokens).first(static_cast<std::size_t>(sequence.num_known()));
  const auto size = static_cast<int>(tokens.size());
  Index& index = indexes_[sequence.request->id];
  // The run that ends the sequence has no continuation yet and stays out.
  for (int end = std::max(index.num_indexed, kShortest); end < size; ++end) {
    for (int length = kShortest; length <= std::min(kLongest, end); ++length) {
      index.continuation[HashRun(tokens, end, length)] = end;
    }
  }
  index.num_indexed = size;
  for (int length = std::min(kLongest, size); length >= kShortest; --length) {
    const auto found = index.continuation.find(HashRun(tokens, size, length));
    if (found != index.continuation.end() && SameRun(tokens, found->second, size, length)) {
      return Match{found->second, length};
    }
  }
  return std::nullopt;
}

std::optional<DraftOffer> PromptLookupProposer::Offer(const Sequence& sequence) {
  const std::optional<Match> match = FindMatch(sequence);
  if (!match) return std::nullopt;
  return DraftOffer{0, match->length - kShortest};
}

void PromptLookupProposer::Propose(std::span<const DraftRequest> requests) {
  for (const DraftRequest& request : requests) {
    const std::vector<TokenId>& tokens = request.sequence->tokens;
    const std::optional<Match> match = FindMatch(*request.sequence);
    if (!match) continue;
    const bool keeps_distributions = RuleFor(*request.sequence->request) == VerificationRule::kRejection;
    Draft& draft = *request.draft;
    // A match may run into its own continuation: then the text repeats, and so does the draft.
    for (int i = 0, next = match->next; i < request.num_tokens; ++i, ++next) {
      const auto at = static_cast<std::size_t>(next);
      const TokenId token = at < tokens.size() ? tokens[at] : draft.tokens[at - tokens.size()];
      if (keeps_distributions) draft.DistributionOfNext().AssignPoint(token);
      draft.tokens.push_back(token);
    }
  }
}

}  // namespace reprise
