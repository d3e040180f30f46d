#include "models/tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "models/formats/quoted.h"
#include "models/tokenizer/unicode.h"

namespace reprise::tokenizer {
namespace {

constexpr std::size_t kMaxContentBytes = 512;

bool StartsWithWord(std::string_view text) {
  std::size_t offset = 0;
  return !text.empty() && IsWordCharacter(DecodeUtf8(text, &offset));
}

bool EndsWithWord(std::string_view text) {
  std::size_t length = 0;
  return !text.empty() && IsWordCharacter(LastCodePoint(text, &length));
}

// Where the white space at the end of text[floor, end) begins.
std::size_t StripLeft(std::string_view text, std::size_t floor, std::size_t end) {
  while (end > floor) {
    std::size_t length = 0;
    if (!IsWhiteSpace(LastCodePoint(text.substr(floor, end - floor), &length))) break;
    end -= length;
  }
  return end;
}

// Where the white space that begins at `begin` ends.
std::size_t StripRight(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    std::size_t next = begin;
    if (!IsWhiteSpace(DecodeUtf8(text, &next))) break;
    begin = next;
  }
  return begin;
}

}  // namespace

Result<AddedTokens> AddedTokens::Create(std::vector<AddedToken> tokens, const NormalizerList& normalizers) {
  AddedTokens added;
  // Of equal texts the special one is found: it is inserted first.
  std::stable_partition(tokens.begin(), tokens.end(), [](const AddedToken& token) { return token.special; });
  added.tokens_ = std::move(tokens);
  for (std::size_t i = 0; i < added.tokens_.size(); ++i) {
    const AddedToken& token = added.tokens_[i];
    if (token.content.size() > kMaxContentBytes) {
      return Unimplemented("the added token " + Quoted(token.content) + " has " +
                           std::to_string(token.content.size()) + " bytes; at most " +
                           std::to_string(kMaxContentBytes) + " are supported");
    }
    if (token.normalized) {
      std::string content = token.content;
      RETURN_IF_ERROR(ApplyAll(normalizers, &content));
      added.normalized_.Insert(content, i);
    } else {
      added.raw_.Insert(token.content, i);
    }
  }
  return added;
}

std::vector<TextSegment> AddedTokens::SplitRaw(std::string_view text, bool parse_special) const {
  return SplitAt(raw_, text, parse_special);
}

std::vector<TextSegment> AddedTokens::SplitNormalized(std::string_view text, bool parse_special) const {
  return SplitAt(normalized_, text, parse_special);
}

std::vector<TextSegment> AddedTokens::SplitAt(const TokenTrie& trie, std::string_view text,
                                              bool parse_special) const {
  std::vector<TextSegment> segments;
  std::size_t done = 0;  // text before this is in `segments`
  for (std::size_t at = trie.SkipToCandidate(text, 0); at < text.size();
       at = trie.SkipToCandidate(text, at)) {
    const auto match = trie.FindLongest(text, at);
    if (!match) {
      ++at;
      continue;
    }
    Span span{at, at + match->length};
    at = span.end;
    const AddedToken& token = tokens_[match->value];
    if (token.special && !parse_special) continue;
    if (token.single_word &&
        (EndsWithWord(text.substr(0, span.begin)) || StartsWithWord(text.substr(span.end)))) {
      continue;
    }
    if (token.lstrip && span.begin > done) span.begin = StripLeft(text, done, span.begin);
    if (token.rstrip) span.end = StripRight(text, span.end);
    if (done < span.begin) segments.push_back({{done, span.begin}, std::nullopt});
    segments.push_back({span, token.id});
    done = span.end;
  }
  if (done < text.size()) segments.push_back({{done, text.size()}, std::nullopt});
  return segments;
}

}  // namespace reprise::tokenizer
