// Splits one piece of text into tokens of the vocabulary.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "models/tokenizer/merge.h"
#include "models/tokenizer/piece_cache.h"

namespace reprise::tokenizer {

// What one call of Tokenizer::Encode keeps from piece to piece.
struct EncodeScratch {
  explicit EncodeScratch(std::size_t text_bytes) : cache(text_bytes) {}

  MergeScratch merge;
  PieceCache cache;
};

// Immutable, so Encode may be called from any thread, with a scratch of the caller's own.
class SubwordModel {
 public:
  virtual ~SubwordModel() = default;
  // Appends the tokens of `piece`, which is well-formed UTF-8 and not empty.
  void Encode(std::string_view piece, EncodeScratch* scratch, std::vector<TokenId>* ids) const;
  // "BPE, 48900 merges".
  virtual std::string Describe() const = 0;

 protected:
  // Appends the tokens of `word`: a piece, or a part that can be looked at alone.
  virtual void EncodeWord(std::string_view word, MergeScratch* scratch, std::vector<TokenId>* ids) const = 0;
  // No token reaches across the beginning of a word ("▁" after something else), so the words of a piece can
  // be looked at one by one.
  void set_words_are_independent(bool value) { words_are_independent_ = value; }

 private:
  bool words_are_independent_ = false;
};

}  // namespace reprise::tokenizer
