#include "server/text_stream.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace reprise {
namespace {

// Enough tokens to leave the start of a text and to hold the beginning of one character.
constexpr std::size_t kPrimingTokens = 8;

}  // namespace

int CountCharacters(std::string_view utf8) {
  return static_cast<int>(
      std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & '\xC0') != '\x80'; }));
}

std::string_view TokenAsBytes(const Tokenizer& tokenizer, TokenId id) {
  return id < tokenizer.vocab_size() ? tokenizer.TokenBytes(id) : std::string_view();
}

std::string TokenAsText(const Tokenizer& tokenizer, TokenId id) {
  return SanitizeUtf8(TokenAsBytes(tokenizer, id));
}

TextStream::TextStream(const Tokenizer& tokenizer, TextStreamOptions options)
    : tokenizer_(tokenizer),
      detokenizer_(tokenizer, options.skip_special_tokens),
      options_(std::move(options)) {}

// A model's vocabulary may be padded beyond its tokenizer's: such tokens have no text.
std::string TextStream::Detokenize(TokenId id) {
  return id < tokenizer_.vocab_size() ? detokenizer_.Append(id) : std::string();
}

void TextStream::Prime(std::span<const TokenId> prompt) {
  for (TokenId id : prompt.last(std::min(prompt.size(), kPrimingTokens))) Detokenize(id);
}

std::string TextStream::Append(TokenId id) {
  if (stopped_) return {};
  ++num_tokens_;
  return Add(Detokenize(id), num_tokens_ > options_.min_tokens);
}

std::string TextStream::Finish() {
  if (stopped_) return {};
  std::string text = Add(detokenizer_.Finish(), num_tokens_ > options_.min_tokens);
  text += std::exchange(held_, {});
  return text;
}

// Returns what is certain once `piece` has been added.
std::string TextStream::Add(std::string_view piece, bool may_stop) {
  num_characters_ += CountCharacters(piece);
  if (options_.stop.empty()) return std::string(piece);
  const std::size_t old_size = held_.size();
  held_ += piece;
  std::size_t begin = 0, end = 0;
  if (may_stop && FindStop(old_size + 1, &begin, &end)) {
    stopped_ = true;
    stop_string_ = held_.substr(begin, end - begin);
    held_.resize(options_.include_stop ? end : begin);
    return std::exchange(held_, {});
  }
  std::string text = held_.substr(0, held_.size() - HeldBack());
  held_.erase(0, text.size());
  return text;
}

// Finds the stop string in held_ whose end is the smallest one not below `first_end`; among equals the one
// that begins first.
bool TextStream::FindStop(std::size_t first_end, std::size_t* begin, std::size_t* end) {
  bool found = false;
  for (const std::string& stop : options_.stop) {
    const std::size_t from = first_end > stop.size() ? first_end - stop.size() : 0;
    const std::size_t position = held_.find(stop, from);
    if (position == std::string::npos) continue;
    const std::size_t stop_end = position + stop.size();
    if (!found || stop_end < *end || (stop_end == *end && position < *begin)) {
      found = true;
      *begin = position;
      *end = stop_end;
    }
  }
  return found;
}

// Length of the longest suffix of held_ that begins a stop string. No stop string can begin before it, so it
// is also all that later searches need.
std::size_t TextStream::HeldBack() const {
  std::size_t held_back = 0;
  for (const std::string& stop : options_.stop) {
    for (std::size_t n = std::min(stop.size() - 1, held_.size()); n > held_back; --n) {
      if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) held_back = n;
    }
  }
  return held_back;
}

}  // namespace reprise
