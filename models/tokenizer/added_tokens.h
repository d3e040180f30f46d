// Tokens that are found in the text as written, before and around the splitting of the rest.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "models/tokenizer/normalizer.h"
#include "models/tokenizer/span.h"
#include "models/tokenizer/token_trie.h"

namespace reprise::tokenizer {

// As `added_tokens` of a tokenizer.json.
struct AddedToken {
  TokenId id = 0;
  std::string content = {};
  bool single_word = false;  // not inside a word
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and after it
  bool normalized = false;   // is looked for in the normalized text, itself normalized
  bool special = false;      // a control token
};

// A stretch of text: an added token, or text in between.
struct TextSegment {
  Span span;
  std::optional<TokenId> token;
};

// Immutable after Create.
class AddedTokens {
 public:
  // UNIMPLEMENTED for a token longer than anyone has use for (each position of a text may be compared with
  // all of it).
  static Result<AddedTokens> Create(std::vector<AddedToken> tokens, const NormalizerList& normalizers);

  const std::vector<AddedToken>& tokens() const { return tokens_; }

  // Cuts `text` at the tokens that are not `normalized`, or in an already normalized text at those that are.
  // At each position the longest token wins. Special tokens are left alone, as text, unless `parse_special`.
  std::vector<TextSegment> SplitRaw(std::string_view text, bool parse_special) const;
  std::vector<TextSegment> SplitNormalized(std::string_view text, bool parse_special) const;

 private:
  std::vector<TextSegment> SplitAt(const TokenTrie& trie, std::string_view text, bool parse_special) const;

  std::vector<AddedToken> tokens_;
  TokenTrie raw_;         // values are indices into tokens_
  TokenTrie normalized_;  // likewise
};

}  // namespace reprise::tokenizer
