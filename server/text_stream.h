// The text of one choice as it grows: token ids become whole UTF-8 characters, stop strings are found across
// token borders, and text that may still turn out to begin one is held back.
//
// However the ids are grouped, the concatenated pieces are the same: a stop string is matched as if
// characters arrived one by one, so the match that ends first wins, and among those the longest.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/tokenizer.h"

namespace reprise {

struct TextStreamOptions {
  std::vector<std::string> stop;  // none empty
  bool include_stop = false;      // the stop string is part of the text
  bool skip_special_tokens = true;
  int min_tokens = 0;  // a stop string must end in text after that many tokens
};

// Not thread-safe; the tokenizer must outlive it.
class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, TextStreamOptions options);

  // Sets the context the text continues, so that a first word keeps its leading space. Before any Append.
  void Prime(std::span<const TokenId> prompt);

  // Takes the next token and returns the text that is now certain. Nothing after a stop string was found.
  std::string Append(TokenId id);
  // The end: returns what was held back.
  std::string Finish();

  // A stop string was found: which one. Later tokens are ignored.
  bool stopped() const { return stopped_; }
  const std::string& stop_string() const { return stop_string_; }

  // Whole characters (code points) in the text of the tokens so far, before any cut at a stop string: where
  // the next token's text begins.
  int num_characters() const { return num_characters_; }

 private:
  std::string Detokenize(TokenId id);
  std::string Add(std::string_view piece, bool may_stop);
  bool FindStop(std::size_t first_end, std::size_t* begin, std::size_t* end);
  std::size_t HeldBack() const;

  const Tokenizer& tokenizer_;
  Detokenizer detokenizer_;
  const TextStreamOptions options_;
  std::string held_;  // produced, not yet returned
  int num_tokens_ = 0;
  int num_characters_ = 0;
  bool stopped_ = false;
  std::string stop_string_;
};

// One token alone, as text: bytes that are not whole characters become U+FFFD.
std::string TokenAsText(const Tokenizer& tokenizer, TokenId id);
// Its bytes; none for an id that the model has and the tokenizer does not.
std::string_view TokenAsBytes(const Tokenizer& tokenizer, TokenId id);

// Code points in well-formed UTF-8.
int CountCharacters(std::string_view utf8);

}  // namespace reprise
