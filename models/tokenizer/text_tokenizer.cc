#include "models/tokenizer/text_tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace reprise::tokenizer {

std::optional<TokenId> TokenizerParts::FindToken(std::string_view text) const {
  const auto id = extra_vocabulary.Find(text);
  return id ? id : vocabulary->Find(text);
}

TextTokenizer::TextTokenizer(TokenizerParts parts) : parts_(std::move(parts)) {
  const int size = std::max(parts_.vocabulary->size(), parts_.extra_vocabulary.size());
  special_.resize(static_cast<std::size_t>(size));
  std::vector<bool> literal(static_cast<std::size_t>(size));
  for (const AddedToken& token : parts_.added_tokens.tokens()) {
    special_[static_cast<std::size_t>(token.id)] = token.special;
    literal[static_cast<std::size_t>(token.id)] = parts_.added_tokens_are_literal;
  }
  for (TokenId id = 0; id < size; ++id) {
    const std::string_view text = TokenText(id);
    const bool is_gap = !parts_.vocabulary->Has(id) && !parts_.extra_vocabulary.Has(id);
    if (is_gap || literal[static_cast<std::size_t>(id)]) {
      bytes_.Set(id, text);
    } else {
      bytes_.Set(id, parts_.decoder.Decode(text, TokenPosition::kLater));
    }
  }
}

struct TextTokenizer::EncodeState {
  bool parse_special = true;
  EncodeScratch scratch;
  std::vector<TokenId> ids;
};

Result<std::vector<TokenId>> TextTokenizer::Encode(std::string_view text,
                                                   const EncodeOptions& options) const {
  if (const std::size_t invalid = FindInvalidUtf8(text); invalid != std::string_view::npos) {
    return InvalidArgument("the text is not UTF-8: byte " + std::to_string(invalid) + " is malformed");
  }
  EncodeState state{options.parse_special_tokens, EncodeScratch(text.size()), {}};
  if (options.add_special_tokens) state.ids = parts_.prefix;
  for (const TextSegment& segment : parts_.added_tokens.SplitRaw(text, state.parse_special)) {
    if (segment.token) {
      state.ids.push_back(*segment.token);
    } else {
      RETURN_IF_ERROR(EncodeUnnormalized(segment.span.Of(text), segment.span.begin == 0, &state));
    }
  }
  if (options.add_special_tokens)
    state.ids.insert(state.ids.end(), parts_.suffix.begin(), parts_.suffix.end());
  return std::move(state.ids);
}

Status TextTokenizer::EncodeUnnormalized(std::string_view text, bool at_text_start,
                                         EncodeState* state) const {
  std::string normalized(text);
  RETURN_IF_ERROR(ApplyAll(parts_.normalizers, &normalized));
  for (const TextSegment& segment : parts_.added_tokens.SplitNormalized(normalized, state->parse_special)) {
    if (segment.token) {
      state->ids.push_back(*segment.token);
    } else {
      RETURN_IF_ERROR(
          EncodeNormalized(segment.span.Of(normalized), at_text_start && segment.span.begin == 0, state));
    }
  }
  return OkStatus();
}

Status TextTokenizer::EncodeNormalized(std::string_view text, bool at_text_start, EncodeState* state) const {
  Pieces pieces{std::string(text), {{0, text.size()}}, at_text_start};
  for (const auto& pre_tokenizer : parts_.pre_tokenizers) RETURN_IF_ERROR(pre_tokenizer->Apply(&pieces));
  for (const Span& piece : pieces.spans) {
    parts_.model->Encode(piece.Of(pieces.text), &state->scratch, &state->ids);
  }
  return OkStatus();
}

std::string TextTokenizer::FirstTokenBytes(TokenId id) const {
  if (!parts_.decoder.first_token_differs) return std::string(TokenBytes(id));
  return parts_.decoder.Decode(TokenText(id), TokenPosition::kFirst);
}

std::string_view TextTokenizer::TokenText(TokenId id) const {
  return parts_.vocabulary->Has(id)        ? parts_.vocabulary->Text(id)
         : parts_.extra_vocabulary.Has(id) ? parts_.extra_vocabulary.Text(id)
                                           : std::string_view();
}

bool TextTokenizer::adds_bos() const {
  return parts_.bos && !parts_.prefix.empty() && parts_.prefix.front() == *parts_.bos;
}

std::string TextTokenizer::Describe() const {
  return parts_.source + ": " + parts_.model->Describe() + ", " + std::to_string(parts_.vocabulary->count()) +
         " tokens and " + std::to_string(parts_.extra_vocabulary.count()) + " added beside them";
}

}  // namespace reprise::tokenizer
