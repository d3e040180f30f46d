// The tokenizer that every file format is loaded into: added tokens, normalizers, pre-tokenizers, a subword
// model, and tokens put around the result, in the order of the Hugging Face `tokenizers` pipeline.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/added_tokens.h"
#include "models/tokenizer/decoder.h"
#include "models/tokenizer/normalizer.h"
#include "models/tokenizer/pre_tokenizer.h"
#include "models/tokenizer/subword_model.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/vocabulary.h"

namespace reprise::tokenizer {

// What a loader hands over.
struct TokenizerParts {
  // The tokens of the subword model, at an address that the model may keep.
  std::unique_ptr<Vocabulary> vocabulary = std::make_unique<Vocabulary>();
  // Added tokens that the subword model does not know.
  Vocabulary extra_vocabulary;
  AddedTokens added_tokens;
  NormalizerList normalizers;
  PreTokenizerList pre_tokenizers;
  std::unique_ptr<SubwordModel> model;
  std::vector<TokenId> prefix;  // put around every text, if the caller wants special tokens
  std::vector<TokenId> suffix;
  Decoder decoder;
  // The text of an added token is what it stands for, whatever the decoder would make of it.
  bool added_tokens_are_literal = false;

  std::optional<TokenId> bos;
  std::vector<TokenId> eos;
  std::string chat_template;
  std::string source;  // "tokenizer.json", "GGUF, pre-tokenizer llama-bpe": for Describe

  // In either vocabulary.
  std::optional<TokenId> FindToken(std::string_view text) const;
};

class TextTokenizer final : public Tokenizer {
 public:
  explicit TextTokenizer(TokenizerParts parts);

  Result<std::vector<TokenId>> Encode(std::string_view text, const EncodeOptions& options) const override;

  int vocab_size() const override { return bytes_.size(); }
  std::string_view TokenBytes(TokenId id) const override { return bytes_.Get(id); }
  std::string FirstTokenBytes(TokenId id) const override;
  std::string_view TokenText(TokenId id) const override;
  bool IsSpecial(TokenId id) const override { return special_[static_cast<std::size_t>(id)]; }
  std::optional<TokenId> FindToken(std::string_view text) const override { return parts_.FindToken(text); }
  bool strips_leading_space() const override { return parts_.decoder.strips_leading_space; }

  std::optional<TokenId> bos() const override { return parts_.bos; }
  std::span<const TokenId> eos() const override { return parts_.eos; }
  bool adds_bos() const override;
  const std::string& chat_template() const override { return parts_.chat_template; }
  std::string Describe() const override;

 private:
  struct EncodeState;

  Status EncodeUnnormalized(std::string_view text, bool at_text_start, EncodeState* state) const;
  Status EncodeNormalized(std::string_view text, bool at_text_start, EncodeState* state) const;

  TokenizerParts parts_;
  TokenStrings bytes_;  // what each token contributes inside a text
  std::vector<bool> special_;
};

}  // namespace reprise::tokenizer
