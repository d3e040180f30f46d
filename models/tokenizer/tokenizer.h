// Text to token ids and back, as the model's own tokenizer does it.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace reprise {

struct EncodeOptions {
  // Add what the tokenizer's post-processor adds around a single text (usually BOS).
  bool add_special_tokens = true;
  // Recognise special tokens written out in the text (a rendered chat template); otherwise their text is
  // plain text.
  bool parse_special_tokens = true;
};

// Immutable after Load, so every method may be called from any thread.
class Tokenizer {
 public:
  // `path` is a directory with tokenizer.json (and tokenizer_config.json if there), a tokenizer.json, or a
  // GGUF file (a vocabulary-only one too). DATA_LOSS for a damaged file, UNIMPLEMENTED naming the part that
  // is not supported.
  static Result<std::unique_ptr<Tokenizer>> Load(const std::string& path);

  virtual ~Tokenizer() = default;

  // INVALID_ARGUMENT, with the byte offset, when `text` is not UTF-8.
  virtual Result<std::vector<TokenId>> Encode(std::string_view text,
                                              const EncodeOptions& options = {}) const = 0;

  // The text of `ids`, malformed UTF-8 replaced by U+FFFD. INVALID_ARGUMENT for an id outside the vocabulary.
  Result<std::string> Decode(std::span<const TokenId> ids, bool skip_special_tokens = true) const;

  // One past the largest id; ids in gaps have no bytes.
  virtual int vocab_size() const = 0;
  // The bytes this token contributes in the middle of a text. Empty for an id without a token. Requires
  // 0 <= id < vocab_size().
  virtual std::string_view TokenBytes(TokenId id) const = 0;
  // The bytes it contributes as the first token of a text. Only a few decoders make a difference (Hugging
  // Face's Metaspace drops the first word's space here).
  virtual std::string FirstTokenBytes(TokenId id) const { return std::string(TokenBytes(id)); }
  // The token as the vocabulary file spells it ("Ġthe", "▁the", "<|im_end|>").
  virtual std::string_view TokenText(TokenId id) const = 0;
  // Control tokens, which skip_special_tokens leaves out.
  virtual bool IsSpecial(TokenId id) const = 0;
  virtual std::optional<TokenId> FindToken(std::string_view text) const = 0;
  // SentencePiece-style decoders drop one leading space of a text.
  virtual bool strips_leading_space() const = 0;

  virtual std::optional<TokenId> bos() const = 0;
  // Every id that ends generation as far as the tokenizer knows (generation_config.json may add more).
  virtual std::span<const TokenId> eos() const = 0;
  virtual bool adds_bos() const = 0;
  // The chat template's Jinja source that came with the tokenizer; empty when there is none.
  virtual const std::string& chat_template() const = 0;
  // Short description for `inspect`: kind, pre-tokenizer, sizes.
  virtual std::string Describe() const = 0;
};

// Turns a stream of ids into a stream of text whose pieces are whole UTF-8 characters; the concatenation of
// all pieces equals Tokenizer::Decode of all ids. Not thread-safe; the tokenizer must outlive it.
class Detokenizer {
 public:
  Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens)
      : tokenizer_(&tokenizer), skip_special_tokens_(skip_special_tokens) {}

  // Text completed by this token; may be empty. Requires a valid id.
  std::string Append(TokenId id);
  // What is still held back, malformed parts replaced by U+FFFD.
  std::string Finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  bool seen_token_ = false;
  bool seen_bytes_ = false;
  std::string pending_;  // bytes that do not yet form a whole character
};

}  // namespace reprise
