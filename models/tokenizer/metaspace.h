// SentencePiece's visible space, U+2581 "▁", and the tokens of single bytes, "<0x00>" to "<0xFF>".
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include "models/tokenizer/vocabulary.h"

namespace reprise::tokenizer {

inline constexpr std::string_view kMetaspace = "\u2581";

// Where the second word of `text` begins: the first "▁" after something else than "▁". text.size() when there
// is but one word.
std::size_t EndOfFirstWord(std::string_view text);

// The byte that a token spelled "<0xNN>" stands for.
std::optional<unsigned char> ParseByteToken(std::string_view text);

// The ids of the 256 byte tokens, -1 for those that are not there.
std::array<TokenId, 256> FindByteTokens(const Vocabulary& vocabulary);

}  // namespace reprise::tokenizer
