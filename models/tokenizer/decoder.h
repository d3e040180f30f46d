// From tokens to the bytes they stand for: the decoders of a tokenizer.json, reduced to what one token
// contributes, so that text can be streamed token by token.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/regex.h"

namespace reprise::tokenizer {

// Where a token stands among those that are decoded together.
enum class TokenPosition { kFirst, kLater };

struct Decoder {
  using Step = std::function<std::string(std::string_view token, TokenPosition position)>;

  // In order; the last one yields bytes.
  std::vector<Step> steps;
  // The text as a whole loses one leading space.
  bool strips_leading_space = false;
  // Some step looks at the position.
  bool first_token_differs = false;

  std::string Decode(std::string_view token, TokenPosition position) const;
};

Decoder::Step DecodeByteLevelStep();
// "<0x0A>" becomes the byte.
Decoder::Step DecodeByteTokenStep();
Decoder::Step ReplaceStep(Regex pattern, std::string content);
// `replacement` becomes a space; with `drops_first`, nothing in the first token.
Decoder::Step MetaspaceStep(std::string replacement, bool drops_first);
// Up to `start` times `content` off the left of a token, up to `stop` times off its right.
Decoder::Step StripStep(std::string content, std::size_t start, std::size_t stop);
// A space before each token but the first.
Decoder::Step JoinWithSpacesStep();

}  // namespace reprise::tokenizer
