// The character properties and normal forms (UAX #15) that tokenizers rely on.
#pragma once

#include <string>
#include <string_view>

namespace reprise::tokenizer {

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// Linear but for the ordering of combining marks, which is n log n. `text` is well-formed UTF-8.
std::string Normalize(std::string_view text, NormalForm form);

// Every character on its own, without the context rules (a final sigma stays a sigma).
std::string Lowercase(std::string_view text);

// General category M.
bool IsMark(char32_t code_point);
// The White_Space property.
bool IsWhiteSpace(char32_t code_point);
// What \w matches (UTS #18, Annex C): alphabetic characters, marks, decimal digits, connector punctuation and
// the joiners.
bool IsWordCharacter(char32_t code_point);

// The code point that ends at the end of `text`, which is well-formed UTF-8 and not empty. `*length` is its
// size in bytes.
char32_t LastCodePoint(std::string_view text, std::size_t* length);

}  // namespace reprise::tokenizer
